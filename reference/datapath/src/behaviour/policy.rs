//! Defects and variants of policy: what is protected, what passes, what is dropped, and which SA is used when.

macro_rules! policy_defects {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            DenyIgnored => "deny_ignored", "P14",
                "Protects what the policy denies.";
            OldSaDroppedOnRekey => "old_sa_dropped_on_rekey", "P15",
                "Cannot open packets of the old SA once a newer one has come.";
            WrongSyslogNotIpsec => "wrong_syslog_not_ipsec", "P16",
                "Reports packets with an unknown SPI as packets in clear.";
            FailopenLeak => "failopen_leak", "P27",
                "Forwards in clear before registration although it fails closed.";
            ExpiredSaLeak => "expired_sa_leak", "P28",
                "Forwards the permit class in clear when its keys have expired.";
            DenyInFailcloseOnlyLocal => "deny_in_failclose_only_local", "P29",
                "Lets the local deny list alone open a closed member before registration.";
            RecoveryStorm => "recovery_storm", "P38",
                "Asks for a recovery registration for every unknown SPI.";
            // matching
            DenyFirstRuleOnly => "dp_deny_first_rule_only", "POLICY-002",
                "Honours only the first deny of the policy.";
            DenyLostOnRekey => "dp_deny_lost_on_rekey", "POLICY-003",
                "Forgets the denies of the policy when it is sent again.";
            LocalDenyIgnored => "dp_local_deny_ignored", "POLICY-002",
                "Ignores its local deny list.";
            RuleOrderReversed => "dp_rule_order_reversed", "DP-013",
                "Lets the last rule that matches decide.";
            PortsIgnored => "dp_ports_ignored", "POLICY-002",
                "Does not look at the ports of a rule.";
            SourcePortForDestination => "dp_source_port_for_destination", "POLICY-002",
                "Compares the source port with the destination ports of a rule.";
            PortZeroLiteral => "dp_port_zero_literal", "GDOI-PL-045",
                "Takes port 0 of a rule, which means any, for port 0.";
            FirstSaForAllFlows => "dp_first_sa_for_all_flows", "REG-012",
                "Protects the traffic of every rule with the SA of the first.";
            ProtocolIgnored => "dp_protocol_ignored", "POLICY-002",
                "Does not look at the protocol of a rule.";
            MaskOneBitShort => "dp_mask_one_bit_short", "POLICY-002",
                "Takes address ranges twice as wide as they are.";
            RangeEndExcluded => "dp_range_end_excluded", "POLICY-002",
                "Leaves the last address of a range out.";
            FirstFragmentOnly => "dp_first_fragment_only", "ESP-089",
                "Protects the first fragment of a packet and sends the others in clear.";
            PortlessFragmentsClear => "dp_portless_fragments_clear", "POLICY-012",
                "Sends later fragments in clear although a rule with ports may protect them.";
            LocalPermitIgnored => "dp_local_permit_ignored", "POLICY-008",
                "Passes over a permit of its local list.";
            NoMatchDropped => "dp_no_match_dropped", "getvpn.md 5.3",
                "Drops what no rule matches.";
            NoMatchEncrypted => "dp_no_match_encrypted", "getvpn.md 5.3",
                "Protects what no rule matches with the newest SA.";
            PermitWithoutSaLeaks => "dp_permit_without_sa_leaks", "DP-020",
                "Sends the permit class in clear while it has no SA for it.";
            FlowsOutliveThePolicy => "dp_flows_outlive_the_policy", "POLICY-003",
                "Goes on treating known flows as before when the policy changes.";
            OwnControlEncrypted => "dp_own_control_encrypted", "ESP-097",
                "Protects its own key management traffic.";
            OwnControlDropped => "dp_own_control_dropped", "FC-005",
                "Drops its own key management traffic while it is closed.";
            // what comes in
            ClearInboundAccepted => "dp_clear_inbound_accepted", "ESP-096",
                "Forwards packets in clear that should have been protected.";
            ClearInboundUnreported => "dp_clear_inbound_unreported", "DP-012",
                "Drops packets in clear that should have been protected without reporting them.";
            DenyInboundDropped => "dp_deny_inbound_dropped", "DP-013",
                "Drops clear packets of the deny class.";
            InboundNotMirrored => "dp_inbound_not_mirrored", "ESP-096",
                "Compares clear packets from the WAN with the rules without exchanging their ends.";
            MulticastRulesSwapped => "dp_multicast_rules_swapped", "ESP-099",
                "Exchanges the ends of multicast packets from the WAN before it compares them with the rules.";
            TransitEspDropped => "dp_transit_esp_dropped", "ESP-037",
                "Drops the ESP packets of other people.";
            TransitEspTouched => "dp_transit_esp_touched", "ESP-037",
                "Lowers the TTL of other people's ESP packets to 1.";
            ForeignFragmentsSwallowed => "dp_foreign_fragments_swallowed", "ESP-080",
                "Keeps the fragments of other people's ESP packets.";
            ReceiveOnlyEncrypts => "dp_receive_only_encrypts", "DP-022",
                "Protects what it sends although the policy says to receive only.";
            ReceiveOnlyDropsClear => "dp_receive_only_drops_clear", "DP-022",
                "Drops clear packets of the permit class although the policy says to receive only.";
            SaDirectionIgnored => "dp_sa_direction_ignored", "GDOI-PL-054",
                "Sends and opens under every SA whatever its direction.";
            PassiveDropsClear => "dp_passive_drops_clear", "DP-021",
                "Drops clear packets of the permit class although it is passive.";
            PassiveSendsClear => "dp_passive_sends_clear", "DP-021",
                "Sends in clear while it is passive.";
            PassiveOverruled => "dp_passive_overruled", "DP-021",
                "Sends in clear in a group that is to receive only, although it is passive.";
            DuplexNotRestored => "dp_duplex_not_restored", "DP-023",
                "Stays in receive-only mode when the policy goes back to both directions.";
            // rollover
            NewSaTooEarly => "dp_new_sa_too_early", "ESP-090",
                "Sends on a new SA before it is active.";
            NewSaNeverUsed => "dp_new_sa_never_used", "ESP-091",
                "Goes on sending on the old SA until it ends.";
            OldSaPastEnd => "dp_old_sa_past_end", "ESP-090",
                "Accepts and sends on SAs that have ended.";
            NewSaNotReceivedAtOnce => "dp_new_sa_not_received_at_once", "ESP-091",
                "Opens packets of a new SA only when it would send on it itself.";
            OldSaForgotten => "dp_old_sa_forgotten", "ESP-090",
                "Forgets SAs that are active when the policy brings another.";
            ThreeSasBreak => "dp_three_sas_break", "getvpn.md 3.8",
                "Has room for two SAs of one policy only and loses the oldest.";
            ExpiryReportsNothing => "dp_expired_silent", "DP-020",
                "Does not count what it drops for want of a key.";
            // before registration
            FailOpenDrops => "dp_fail_open_drops", "FC-001",
                "Drops everything before registration although it fails open.";
            FailCloseNoExceptions => "dp_fail_close_no_exceptions", "FC-003",
                "Drops the exceptions as well while it is closed.";
            FailCloseKept => "dp_fail_close_kept", "FC-006",
                "Applies the exceptions of the closed state after registration too.";
            FailCloseInboundOpen => "dp_fail_close_inbound_open", "FC-002",
                "Forwards everything from the WAN while it is closed.";
            RevertIgnored => "dp_revert_ignored", "FC-008",
                "Does not go back to the closed state when its keys have run out although it is to.";
            RegisteredForgotten => "dp_registered_forgotten", "FC-007",
                "Opens again when its keys have run out.";
            // reports
            CountersTwice => "dp_counters_twice", "DP-024",
                "Counts every packet that it protects twice.";
            CountersMissDecrypt => "dp_counters_miss_decrypt", "DP-024",
                "Does not count packets that it opens.";
            GoesDeafAfter => "dp_goes_deaf_after_1000", "DP-006",
                "Stops forwarding for good after a thousand protected packets.";
        }
    };
}

macro_rules! policy_variants {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            RecoveryNever => "dp_recovery_never", "getvpn.md 5.4",
                "Never asks for a recovery registration.";
        }
    };
}
