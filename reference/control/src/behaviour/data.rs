//! Defects in how the data plane of a group is announced and taken over. Those of the data plane itself are switches of
//! the datapath.

macro_rules! data_defects {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            D3pCmdCoexist => "d3p_cmd_coexist", "P32",
                "Accepts a configuration with IP-D3P and another replay protection, and announces both.";
            TbarCounterCollision => "tbar_counter_collision", "P33",
                "Announces counter-based replay protection where the configuration says time-based.";
            PtBackstep => "pt_backstep", "P39",
                "Takes over the pseudotime of a PUSH that is far older than its own.";
            KsPseudotimeZero => "ks_pseudotime_zero", "TBAR-016",
                "Announces pseudotime 0 whatever time has passed.";
            KsPseudotimeFrozen => "ks_pseudotime_frozen", "TBAR-016",
                "Repeats the pseudotime of the latest registration in every PUSH.";
            KsPseudotimeWallclock => "ks_pseudotime_wallclock", "TBAR-017",
                "Announces the wall clock as pseudotime.";
            KsPseudotimeMissingInPush => "ks_pseudotime_missing_in_push", "TBAR-016",
                "Announces pseudotime in registrations only.";
            KsReceiveOnlyMissingInPush => "ks_receive_only_missing_in_push", "DP-022",
                "Announces the receive-only direction in registrations only.";
            KsDenyOrderLost => "ks_deny_order_lost", "POLICY-005",
                "Announces the deny entries behind all permit entries.";
            KsDenyLeftOut => "ks_deny_left_out", "POLICY-002",
                "Leaves the deny entries of the access list out.";
            GmPseudotimeRegistrationIgnored => "gm_pseudotime_registration_ignored", "TBAR-007",
                "Starts its own pseudotime at 0 when it registers.";
            GmRecoveryDropsKeys => "gm_recovery_drops_keys", "DP-027",
                "Drops its keys when an error of the data plane starts a registration.";
            GmPseudotimeRekeyIgnored => "gm_pseudotime_rekey_ignored", "TBAR-008",
                "Does not set its pseudotime after a PUSH.";
        }
    };
}
