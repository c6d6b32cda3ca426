//! Defects and variants around size: fragments, reassembly, path MTU, ICMP and the TCP segment size.

macro_rules! size_defects {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            BigMtuDecrypt => "big_mtu_decrypt", "P40",
                "Leaks a buffer for every reassembled ESP packet over 1800 octets and stops when 64 are gone.";
            // segment size
            MssNotClamped => "dp_mss_not_clamped", "ESP-087",
                "Leaves the segment size of a SYN as it is.";
            MssOnNonSyn => "dp_mss_on_non_syn", "ESP-087",
                "Changes segment size options outside a SYN as well.";
            MssRaised => "dp_mss_raised", "ESP-087",
                "Raises smaller segment sizes to the limit.";
            MssChecksumBroken => "dp_mss_checksum_broken", "ESP-087",
                "Changes the segment size without correcting the TCP checksum.";
            MssOutboundOnly => "dp_mss_outbound_only", "PMTU-006",
                "Limits the segment size only towards the WAN.";
            MssInserted => "dp_mss_inserted", "ESP-087",
                "Writes a segment size over the padding of a SYN that announces none.";
            MssOptionLengthStops => "dp_mss_option_length_stops", "ESP-087",
                "Stops forwarding for good at a TCP option of length 0.";
            MssForgetsOverhead => "dp_mss_forgets_overhead", "ESP-087",
                "Computes the segment size from the MTU without the ESP overhead.";
            // fragments before encryption
            FragmentsTooBig => "dp_fragments_too_big", "ESP-088",
                "Cuts packets to the MTU without regard to the ESP overhead.";
            FragmentsNotMultipleOfEight => "dp_fragments_not_multiple_of_eight", "ESP-088",
                "Cuts packets at any octet.";
            FragmentsMfLost => "dp_fragments_mf_lost", "ESP-088",
                "Clears more-fragments in every piece.";
            FragmentsOffsetWrong => "dp_fragments_offset_wrong", "ESP-088",
                "Counts the offset of every piece but the first one unit too high.";
            FragmentsNewIds => "dp_fragments_new_ids", "ESP-088",
                "Gives each piece an identification of its own.";
            FragmentsChecksumStale => "dp_fragments_checksum_stale", "ESP-088",
                "Sends pieces with the header checksum of the whole.";
            FragmentsOptionsLost => "dp_fragments_options_lost", "RFC 791",
                "Drops the options that every piece must carry.";
            FragmentsLastMissing => "dp_fragments_last_missing", "ESP-082",
                "Does not send the last piece.";
            FragmentOfFragmentWrong => "dp_fragment_of_fragment_wrong", "RFC 791",
                "Forgets the offset of the whole when it cuts a fragment.";
            EdgeOneTooEarly => "dp_edge_one_too_early", "PMTU-003",
                "Cuts packets that would just fit.";
            EdgeOneTooLate => "dp_edge_one_too_late", "PMTU-003",
                "Sends packets one octet over what fits uncut.";
            StampForgottenInSize => "dp_stamp_forgotten_in_size", "PMTU-010",
                "Forgets the stamp when it computes what fits.";
            FragmentBeforeIsAfter => "dp_fragment_before_is_after", "PMTU-002",
                "Cuts the ESP packet although it is to cut the inner packet.";
            DfFragmented => "dp_df_fragmented", "ESP-081",
                "Cuts packets that must not be cut without permission to do so.";
            DfZeroDropped => "dp_df_zero_dropped", "ESP-082",
                "Drops packets that do not fit although they may be cut.";
            Ipv6Fragmented => "dp_ipv6_fragmented", "ESP-083",
                "Cuts IPv6 packets instead of asking for smaller ones.";
            OversizeSent => "dp_oversize_sent", "ESP-088",
                "Sends ESP packets that exceed the MTU.";
            // ICMP
            IcmpMissing => "dp_icmp_missing", "ESP-081",
                "Drops what does not fit without a word to the sender.";
            IcmpMtuOfLink => "dp_icmp_mtu_of_link", "ESP-081",
                "Announces the MTU of its link instead of what fits into it.";
            IcmpMtuZero => "dp_icmp_mtu_zero", "ESP-081",
                "Announces an MTU of 0.";
            IcmpForDfZero => "dp_icmp_for_df_zero", "ESP-082",
                "Sends an ICMP error about packets that it cuts.";
            IcmpSourceWrong => "dp_icmp_source_wrong", "PMTU-001",
                "Sends ICMP errors from the destination of the packet.";
            IcmpQuoteEmpty => "dp_icmp_quote_empty", "PMTU-001",
                "Quotes nothing of the packet that did not fit.";
            IcmpChecksumWrong => "dp_icmp_checksum_wrong", "PMTU-001",
                "Sends ICMP errors with a wrong checksum.";
            IcmpToWan => "dp_icmp_to_wan", "PMTU-001",
                "Sends ICMP errors about packets of the LAN out to the WAN.";
            Icmpv6Missing => "dp_icmpv6_missing", "ESP-083",
                "Drops IPv6 packets that do not fit without a word to the sender.";
            Icmpv6BelowMinimum => "dp_icmpv6_below_minimum", "ESP-083",
                "Announces less than 1280 octets for IPv6.";
            IcmpForErrors => "dp_icmp_for_errors", "RFC 1122",
                "Sends ICMP errors about ICMP errors.";
            IcmpForGroups => "dp_icmp_for_groups", "RFC 1122",
                "Sends ICMP errors about packets to multicast groups.";
            TimeExceededMissing => "dp_time_exceeded_missing", "DP-004",
                "Drops packets whose TTL has run out without a word to the sender.";
            // reassembly
            ReassemblyMissing => "dp_reassembly_missing", "ESP-070",
                "Hands fragments of ESP packets to ESP instead of joining them.";
            ReassemblyOverlapAccepted => "dp_reassembly_overlap_accepted", "ESP-077",
                "Lets overlapping fragments overwrite each other.";
            Ipv6OverlapAccepted => "dp_ipv6_overlap_accepted", "ESP-075",
                "Joins overlapping IPv6 fragments.";
            ReassemblyEndsIgnored => "dp_reassembly_ends_ignored", "ESP-077",
                "Joins fragments that contradict each other about the end of the packet.";
            ReassemblyNoTimeout => "dp_reassembly_no_timeout", "ESP-074",
                "Keeps unfinished packets for ever.";
            ReassemblyDuplicateKills => "dp_reassembly_duplicate_kills", "ESP-077",
                "Gives a packet up when one of its fragments comes twice.";
            ReassemblyKeyWithoutId => "dp_reassembly_key_without_id", "ESP-072",
                "Joins fragments of different packets between the same hosts.";
            ReassemblyKeyWithoutSource => "dp_reassembly_key_without_source", "ESP-072",
                "Joins fragments of different sources.";
            ReassemblyInOrderOnly => "dp_reassembly_in_order_only", "PMTU-008",
                "Joins only fragments that arrive in order.";
            ReassemblyHeaderStale => "dp_reassembly_header_stale", "ESP-071",
                "Leaves more-fragments and the length of the first fragment in the joined packet.";
            ReassemblyNoLimit => "dp_reassembly_no_limit", "ESP-079",
                "Keeps fragments of any number of packets.";
            ReassemblyLimitStops => "dp_reassembly_limit_stops", "ESP-079",
                "Joins nothing any more once its room for fragments has been full.";
            ReassemblyTooLongStops => "dp_reassembly_too_long_stops", "ESP-073",
                "Stops forwarding for good when fragments reach past 65535 octets.";
            ReassemblyEcnLost => "dp_reassembly_ecn_lost", "ESP-078",
                "Takes the ECN field of the first fragment for that of the packet.";
            ReassemblyUnevenAccepted => "dp_reassembly_uneven_accepted", "ESP-073",
                "Joins fragments whose length is not a multiple of eight.";
            AtomicFragmentsMixed => "dp_atomic_fragments_mixed", "ESP-076",
                "Mixes IPv6 packets with an empty fragment header with fragments of the same identification.";
            AtomicFragmentsDropped => "dp_atomic_fragments_dropped", "ESP-076",
                "Drops IPv6 packets with an empty fragment header.";
            // path MTU
            PtbIgnored => "dp_ptb_ignored", "ESP-086",
                "Keeps ICMP errors about its ESP packets to itself without learning from them.";
            PtbBelowFloor => "dp_ptb_below_floor", "PMTU-012",
                "Believes ICMP errors that announce less than the floor.";
            PtbForeignSpi => "dp_ptb_foreign_spi", "ESP-086",
                "Believes ICMP errors about ESP packets that it never sent.";
            PtbForwardedToo => "dp_ptb_forwarded_too", "ESP-086",
                "Forwards the ICMP errors that it has learned from.";
            PtbSwitchIgnored => "dp_ptb_switch_ignored", "ESP-084",
                "Learns from ICMP errors although it is not to.";
            PtbRaises => "dp_ptb_raises", "ESP-086",
                "Lets ICMP errors raise a path MTU.";
            PtbForAllDestinations => "dp_ptb_for_all_destinations", "ESP-086",
                "Applies a learned path MTU to every destination.";
            PmtuNeverAges => "dp_pmtu_never_ages", "ESP-085",
                "Keeps a learned path MTU for ever.";
            PmtuIgnoredOnSend => "dp_pmtu_ignored_on_send", "ESP-086",
                "Learns path MTUs and goes on sending packets of the old size.";
        }
    };
}

macro_rules! size_variants {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            FragmentsEqual => "dp_fragments_equal", "RFC 791",
                "Cuts packets into pieces of about equal size.";
            FragmentsLastFirst => "dp_fragments_last_first", "RFC 791",
                "Sends the pieces of a packet in reverse order.";
            IcmpQuotesMinimum => "dp_icmp_quotes_minimum", "RFC 792",
                "Quotes the header and eight octets only in ICMPv4 errors.";
            ReassemblyShortTimeout => "dp_reassembly_short_timeout", "esp.md 11.2",
                "Gives unfinished packets up after two seconds.";
            PtbNotLearned => "dp_ptb_not_learned", "getvpn.md 5.7",
                "Treats ICMP errors about its ESP packets like any other packet.";
        }
    };
}
