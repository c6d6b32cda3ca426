//! Defects and variants of the receiving side: verification of packets that come from the WAN.

macro_rules! receive_defects {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            // verification
            MacNotChecked => "dp_mac_not_checked", "ESP-030",
                "Forwards packets whose ICV is wrong.";
            MacErrorUncounted => "dp_mac_error_uncounted", "ESP-031",
                "Drops packets with a wrong ICV without counting or reporting them.";
            ShortPacketStops => "dp_short_packet_stops", "ESP-032",
                "Stops forwarding for good when an ESP packet is too short for its own header.";
            PadOverrunStops => "dp_pad_overrun_stops", "ESP-011",
                "Stops forwarding for good when a pad length exceeds the packet.";
            InnerGarbageStops => "dp_inner_garbage_stops", "ESP-055",
                "Stops forwarding for good when what it decrypts is not an IP packet.";
            BadAlignmentAccepted => "dp_bad_alignment_accepted", "ESP-007",
                "Forwards packets whose trailer does not end on a word.";
            PadLengthOverrunAccepted => "dp_pad_length_overrun_accepted", "ESP-011",
                "Takes a pad length that exceeds the packet for 0.";
            PadLengthIgnored => "dp_pad_length_ignored", "ESP-009",
                "Refuses more padding than the alignment needs.";
            PadOctetsAccepted => "dp_pad_octets_accepted", "ESP-010",
                "Does not look at the padding octets although it is to.";
            DummyForwarded => "dp_dummy_forwarded", "ESP-012",
                "Forwards what dummy packets hold.";
            DummyIsAnError => "dp_dummy_is_an_error", "ESP-012",
                "Counts and reports dummy packets as errors.";
            NextHeaderMismatchAccepted => "dp_next_header_mismatch_accepted", "ESP-055",
                "Forwards packets whose next header is not the version of what they hold.";
            InnerLengthAccepted => "dp_inner_length_accepted", "ESP-055",
                "Forwards inner packets that claim to be longer than they are.";
            TfcForwarded => "dp_tfc_forwarded", "ESP-014",
                "Forwards traffic flow padding together with the inner packet.";
            AddressMismatchAccepted => "dp_address_mismatch_accepted", "ESP-040",
                "Forwards packets whose outer addresses are not those of the inner packet.";
            AddressSourceOnlyChecked => "dp_address_source_only_checked", "ESP-040",
                "Compares the outer source with the inner one but not the destinations.";
            AddressPreservationOff => "dp_address_preservation_off", "ESP-042",
                "Takes policy that does not speak of address preservation for policy without it.";
            SelectorMismatchAccepted => "dp_selector_mismatch_accepted", "ESP-054",
                "Forwards inner packets that the SA's policy does not permit.";
            EverySecondLost => "dp_every_second_lost", "DP-007",
                "Loses every second protected packet.";
            KnownSendersOnly => "dp_known_senders_only", "DP-007",
                "Accepts protected packets only from hosts to which it has sent before.";
            OnlyOwnAddress => "dp_only_own_address", "ESP-036",
                "Opens only ESP packets that are addressed to itself.";
            UnknownSpiTriesAll => "dp_unknown_spi_tries_all", "ESP-035",
                "Opens packets with an unknown SPI with any key that fits.";
            SpiLowHalfOnly => "dp_spi_low_half_only", "ESP-033",
                "Looks SAs up by the low half of their SPI.";
            SpiZeroAccepted => "dp_spi_zero_accepted", "ESP-006",
                "Treats SPI 0 as the newest SA.";
            AnswersErrors => "dp_answers_errors", "ESP-098",
                "Sends an ICMP error to the sender of each packet that it refuses.";
            InnerTtlKept => "dp_inner_ttl_kept", "ESP-052",
                "Does not lower the TTL of the inner packet when it forwards it to the LAN.";
            InnerTtlFromOuter => "dp_inner_ttl_from_outer", "ESP-044",
                "Copies the outer TTL into the inner packet.";
            InnerTtlZeroForwarded => "dp_inner_ttl_zero_forwarded", "DP-004",
                "Forwards inner packets to the LAN whose TTL has run out.";
            InnerTosFromOuter => "dp_inner_tos_from_outer", "ESP-048",
                "Copies the outer DSCP into the inner packet.";
            InnerDfCleared => "dp_inner_df_cleared", "ESP-044",
                "Clears DF in the inner packet.";
            InnerChecksumStale => "dp_inner_checksum_stale", "ESP-050",
                "Changes ECN in the inner packet without correcting its checksum.";
            // ECN
            EcnCeLost => "dp_ecn_ce_lost", "ESP-050",
                "Does not pass congestion marks of the outer header on.";
            EcnCeOnNotEctForwarded => "dp_ecn_ce_on_not_ect_forwarded", "ESP-050",
                "Forwards packets marked outside whose inner header is not ECN-capable.";
            EcnCeOnNotEctMarked => "dp_ecn_ce_on_not_ect_marked", "ESP-050",
                "Marks inner packets that are not ECN-capable.";
            EcnEct1Lost => "dp_ecn_ect1_lost", "ESP-050",
                "Leaves ECT(0) as it is where the outer header says ECT(1).";
            EcnInnerCeCleared => "dp_ecn_inner_ce_cleared", "ESP-050",
                "Takes the mark of an inner packet away when the outer header has none.";
            EcnOuterWins => "dp_ecn_outer_wins", "ESP-050",
                "Copies the ECN field of the outer header into the inner one.";
            EcnUnusedDropped => "dp_ecn_unused_dropped", "ESP-050",
                "Drops packets with unused combinations of inner and outer ECN.";
            EcnSilent => "dp_ecn_silent", "ESP-051",
                "Does not report unused combinations of inner and outer ECN.";
            // counter-based replay
            WindowOneLarger => "dp_window_one_larger", "ESP-058",
                "Accepts numbers one below the left edge of the window.";
            WindowOneSmaller => "dp_window_one_smaller", "ESP-058",
                "Refuses the number at the left edge of the window.";
            WindowMovedBeforeIcv => "dp_window_moved_before_icv", "ESP-059",
                "Moves the window before it has verified the ICV.";
            ReplayNotChecked => "dp_replay_not_checked", "ESP-058",
                "Does not check sequence numbers although the policy says so.";
            DuplicatesAccepted => "dp_duplicates_accepted", "ESP-058",
                "Accepts a number in the window a second time.";
            LateRefused => "dp_late_refused", "ESP-058",
                "Refuses every number below the highest.";
            WindowFixed32 => "dp_window_fixed_32", "ESP-056",
                "Uses a window of 32 whatever the policy says.";
            WindowClearedOnJump => "dp_window_cleared_on_jump", "ESP-058",
                "Forgets what it has seen whenever the window moves by more than one.";
            SeqZeroAccepted => "dp_seq_zero_accepted", "ESP-002",
                "Accepts sequence number 0 although it checks for replay.";
            WindowForgottenOnApply => "dp_window_forgotten_on_apply", "ESP-058",
                "Forgets the window of a live SA whenever the policy is sent again.";
            EsnUnderflowAccepted => "dp_esn_underflow_accepted", "ESP-063",
                "Takes numbers before the first of an extended sequence for numbers of an earlier round.";
            EsnHighIgnored => "dp_esn_high_ignored", "ESP-062",
                "Takes the high half of extended sequence numbers for 0.";
            EsnNeverResynchronised => "dp_esn_never_resynchronised", "ESP-064",
                "Never finds extended sequence numbers again after a loss of 4294967296 packets.";
            CounterCheckedInTbar => "dp_counter_checked_in_tbar", "TBAR-001",
                "Checks sequence numbers of all senders in one window although the policy is time-based.";
            CounterCheckedUnasked => "dp_counter_checked_unasked", "ESP-061",
                "Checks sequence numbers of all senders in one window although the policy asks for no protection.";
            // time-based replay
            TbarWallclock => "tbar_wallclock", "P11",
                "Runs its pseudotime on the wall clock, so that a step of the clock moves it.";
            TbarMin20 => "tbar_min20", "P12",
                "Uses a window of 20 seconds where the policy asks for a smaller one.";
            TbarFalseDrop => "tbar_false_drop", "P13",
                "Compares only the low 13 bits of pseudotimes, so that good packets are too old about every 82 seconds.";
            TbarNotChecked => "dp_tbar_not_checked", "TBAR-002",
                "Does not look at time stamps.";
            TbarOnlyTooOld => "dp_tbar_only_too_old", "TBAR-015",
                "Accepts stamps from the future.";
            TbarOnlyTooNew => "dp_tbar_only_too_new", "TBAR-002",
                "Accepts stamps of any age.";
            TbarWindowDoubled => "dp_tbar_window_doubled", "TBAR-004",
                "Accepts stamps of twice the window.";
            TbarWindowHalved => "dp_tbar_window_halved", "TBAR-004",
                "Accepts stamps of half the window only.";
            TbarWindowInTicks => "dp_tbar_window_in_ticks", "TBAR-004",
                "Takes the seconds of the window for ticks.";
            TbarMissingAccepted => "dp_tbar_missing_accepted", "TBAR-002",
                "Accepts packets without a stamp although the policy demands one.";
            TbarUnexpectedAccepted => "dp_tbar_unexpected_accepted", "TBAR-020",
                "Accepts stamped packets although the policy knows of no stamps.";
            TbarCheckedBeforeIcv => "dp_tbar_error_for_bad_icv", "TBAR-021",
                "Reports packets with a wrong ICV as errors of time.";
            TbarHistoryUnsampled => "dp_tbar_history_unsampled", "TBAR-013",
                "Records every error of time in its history instead of ten a minute.";
            TbarNotCounted => "dp_tbar_not_counted", "TBAR-013",
                "Does not count errors of time.";
            TbarNoMulticast => "dp_tbar_no_multicast", "TBAR-014",
                "Does not look at the stamps of multicast packets.";
            PseudotimeNotAdopted => "dp_pseudotime_not_adopted", "TBAR-008",
                "Keeps its pseudotime when the policy brings another.";
            TbarLogNoSrc => "tbar_log_no_src", "P17",
                "Reports errors of time without the address of the sender.";
            DupInWindowDropped => "dup_in_window_dropped", "P36",
                "Drops exact duplicates inside the time window.";
            D3pMissingAccepted => "dp_d3p_missing_accepted", "ESP-092",
                "Accepts packets without a delay detection header although the policy demands one.";
            D3pUnexpectedAccepted => "dp_d3p_unexpected_accepted", "ESP-093",
                "Accepts a delay detection header that is not in the policy.";
            D3pNoWrap => "dp_d3p_no_wrap", "ESP-094",
                "Compares the 32-bit seconds of delay detection without regard to their wrap.";
            D3pNotChecked => "dp_d3p_not_checked", "ESP-094",
                "Does not look at the time of a delay detection header.";
        }
    };
}

macro_rules! receive_variants {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            TbarEdgeExclusive => "dp_tbar_edge_exclusive", "getvpn.md 4.2",
                "Refuses stamps that lie exactly on the edge of the window.";
            D3pFullWidth => "dp_d3p_full_width", "esp.md 18",
                "Accepts delays of the whole window on each side.";
            LargerWindow => "dp_larger_window", "ESP-056",
                "Uses a replay window of 1024 where the policy asks for less.";
            QuietSelectors => "dp_quiet_about_unknown_spi", "getvpn.md 7.3",
                "Counts unknown SPIs without reporting them.";
        }
    };
}
