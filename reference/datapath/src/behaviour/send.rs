//! Defects and variants of the sending side: protection of packets that go from the LAN to the WAN.

macro_rules! send_defects {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            // sequence numbers and initialisation vectors
            SeqStartsAtZero => "dp_seq_starts_at_zero", "ESP-002",
                "Sends its first packet on a new SA with sequence number 0.";
            SeqSkips => "dp_seq_skips", "ESP-003",
                "Advances the sequence number by two for each packet.";
            SeqStuck => "dp_seq_stuck", "ESP-003",
                "Sends every packet with sequence number 1.";
            SeqRestartsOnApply => "dp_seq_restarts_on_apply", "ESP-003",
                "Starts the sequence number of a live SA anew whenever the policy is sent again.";
            SeqSharedByAllSas => "dp_seq_shared_by_all_sas", "ESP-002",
                "Counts the packets of all SAs with one sequence number.";
            SeqCyclesWithReplay => "dp_seq_cycles_with_replay", "ESP-004",
                "Lets the sequence number cycle although the receivers check it.";
            SeqStopsWithoutReplay => "dp_seq_stops_without_replay", "ESP-005",
                "Stops at the end of the sequence numbers although nobody checks them.";
            SeqLittleEndian => "dp_seq_little_endian", "ESP-003",
                "Writes the sequence number with its low octet first.";
            IvReused => "dp_iv_reused", "ESP-023",
                "Uses each counter-mode initialisation vector for two packets.";
            IvRestartsOnApply => "dp_iv_restarts_on_apply", "ESP-068",
                "Starts the initialisation vectors anew under the same key whenever the policy is sent again.";
            IvRestartsWithNewSpi => "dp_iv_restarts_with_new_spi", "ESP-023",
                "Starts the initialisation vectors anew when a key that it has used comes under a new SPI.";
            IvForgottenWithTheSa => "dp_iv_forgotten_with_the_sa", "ESP-068",
                "Starts the initialisation vectors anew when a key comes back whose SA was deleted or has ended.";
            IvRandomCounterMode => "dp_iv_random_counter_mode", "ESP-066",
                "Draws counter-mode initialisation vectors at random, so that the sender id is not in them.";
            CbcIvCounts => "dp_cbc_iv_counts", "ESP-024",
                "Uses a counter as the initialisation vector of CBC.";
            CbcIvZero => "dp_cbc_iv_zero", "ESP-024",
                "Uses zeros as the initialisation vector of CBC.";
            SidRightmost => "dp_sid_rightmost", "ESP-066",
                "Puts the sender id into the rightmost bits of the initialisation vector.";
            SidShiftedByOne => "dp_sid_shifted_by_one", "ESP-066",
                "Puts the sender id one bit too far to the right.";
            SidIgnored => "dp_sid_ignored", "ESP-066",
                "Leaves the sender id out of the initialisation vector.";
            SidSixteenAlways => "dp_sid_sixteen_always", "ESP-065",
                "Takes the sender id for 16 bits long whatever the policy says.";
            SidWrapsOnExhaustion => "dp_sid_wraps_on_exhaustion", "ESP-067",
                "Begins again with the first initialisation vector when those of a sender id have run out.";
            SendsWithoutSid => "dp_sends_without_sid", "ESP-069",
                "Sends under a counter-mode key without a sender id.";
            // the ESP packet
            AadWithEsn => "dp_aad_with_esn", "ESP-017",
                "Authenticates a 64-bit sequence number although the SA has 32-bit numbers.";
            EsnAadShort => "dp_esn_aad_short", "ESP-018",
                "Leaves the high half of an extended sequence number out of the authentication.";
            SpiByteSwapped => "dp_spi_byte_swapped", "DP-005",
                "Writes the SPI with its low octet first.";
            SpiPlusOne => "dp_spi_plus_one", "DP-005",
                "Sends with the SPI after the one of the policy.";
            PaddingZeros => "dp_padding_zeros", "ESP-008",
                "Fills the padding with zeros.";
            PaddingFromZero => "dp_padding_from_zero", "ESP-008",
                "Numbers the padding octets from 0.";
            PaddingBlockMore => "dp_padding_block_more", "PMTU-009",
                "Adds a whole block of padding more than is needed.";
            PaddingMisaligned => "dp_padding_misaligned", "ESP-007",
                "Adds no padding, so that the trailer does not end on a word.";
            PadLengthCountsTrailer => "dp_pad_length_counts_trailer", "ESP-007",
                "Counts the trailer's own two octets in the pad length.";
            NextHeaderZero => "dp_next_header_zero", "ESP-055",
                "Sends next header 0 in tunnel mode.";
            NextHeaderInnerProtocol => "dp_next_header_inner_protocol", "ESP-055",
                "Sends the transport protocol of the inner packet as next header in tunnel mode.";
            NextHeaderAlwaysV4 => "dp_next_header_always_v4", "ESP-055",
                "Sends next header 4 for inner IPv6 packets as well.";
            IcvTruncated => "dp_icv_truncated", "ESP-020",
                "Sends packets without the last four octets of the ICV.";
            IcvCorrupt => "dp_icv_corrupt", "ESP-030",
                "Sends every sixteenth packet with a wrong ICV.";
            TransportInsteadOfTunnel => "dp_transport_instead_of_tunnel", "ESP-043",
                "Protects packets in transport mode although the policy says tunnel.";
            TfcUnasked => "dp_tfc_unasked", "ESP-015",
                "Adds traffic flow padding that nobody agreed on.";
            EveryPacketTwice => "dp_every_packet_twice", "ESP-003",
                "Sends each protected packet twice.";
            // the outer header
            OuterSourceOwn => "dp_outer_source_own", "ESP-039",
                "Sends from its own address instead of the one of the inner packet.";
            PreservesBothAlways => "dp_preserves_both_always", "GDOI-PL-052",
                "Repeats both inner addresses outside although the policy preserves one of them only.";
            MixedVersionsAccepted => "dp_mixed_versions_accepted", "ESP-041",
                "Uses SAs whose tunnel has an end of another IP version, and puts the inner address in its place.";
            OuterDestinationWrong => "dp_outer_destination_wrong", "ESP-038",
                "Sends to the neighbour of the inner destination.";
            OuterAddressesSwapped => "dp_outer_addresses_swapped", "ESP-038",
                "Exchanges the outer addresses.";
            OuterProtocolAh => "dp_outer_protocol_ah", "ESP-001",
                "Sends protocol 51 in the outer header.";
            OuterChecksumWrong => "dp_outer_checksum_wrong", "DP-001",
                "Sends outer IPv4 headers with a wrong checksum.";
            OuterLengthWrong => "dp_outer_length_wrong", "DP-001",
                "Leaves the outer header's own octets out of the outer length.";
            DscpNotCopied => "dp_dscp_not_copied", "ESP-047",
                "Sends outer headers with DSCP 0.";
            DscpInnerCleared => "dp_dscp_inner_cleared", "ESP-044",
                "Clears the DSCP of the inner header before it protects it.";
            EcnNotCopied => "dp_ecn_not_copied", "ESP-049",
                "Sends outer headers that are not ECN-capable although it runs in normal mode.";
            EcnOuterAlwaysCe => "dp_ecn_outer_always_ce", "ESP-049",
                "Marks every outer header as having met congestion.";
            DfCleared => "dp_df_cleared", "ESP-046",
                "Clears DF in the outer header although it is to copy it.";
            DfAlwaysSet => "dp_df_always_set", "ESP-046",
                "Sets DF in the outer header although it is to copy it.";
            DfClearIgnored => "dp_df_clear_ignored", "ESP-046",
                "Copies DF although it is to clear it.";
            OuterMfCopied => "dp_outer_mf_copied", "ESP-089",
                "Copies more-fragments and the offset of an inner fragment into the outer header.";
            OptionsCopied => "dp_options_copied", "ESP-045",
                "Copies the IPv4 options of the inner packet into the outer header.";
            FlowLabelCopied => "dp_flow_label_copied", "ESP-053",
                "Copies the flow label of the inner packet into the outer header.";
            OuterTtlOne => "dp_outer_ttl_one", "DP-004",
                "Sends outer headers with TTL 1.";
            OuterIdConstant => "dp_outer_id_constant", "DP-001",
                "Sends every outer IPv4 header with the same identification, DF set or not.";
            TtlKept => "dp_ttl_kept", "ESP-052",
                "Does not lower the TTL of the inner packet when it forwards it to the WAN.";
            TtlTwice => "dp_ttl_twice", "ESP-052",
                "Lowers the TTL of the inner packet by two when it forwards it to the WAN.";
            TtlZeroForwarded => "dp_ttl_zero_forwarded", "DP-004",
                "Protects packets whose TTL has run out.";
            TtlChecksumStale => "dp_ttl_checksum_stale", "ESP-052",
                "Lowers the TTL without correcting the checksum of the inner header.";
            InnerIdRewritten => "dp_inner_id_rewritten", "ESP-044",
                "Gives the inner packet a new identification.";
            MulticastNotEncrypted => "dp_multicast_not_encrypted", "DP-019",
                "Sends multicast packets of the permit class in clear.";
            Ipv6NotEncrypted => "dp_ipv6_not_encrypted", "DP-028",
                "Sends IPv6 packets of the permit class in clear.";
            InnerFragmentsClear => "dp_inner_fragments_clear", "ESP-089",
                "Sends fragments of the permit class in clear.";
            // dummies
            DummiesNever => "dp_dummies_never", "ESP-013",
                "Sends no dummy packets although it is to.";
            DummyRepeatsNumber => "dp_dummy_repeats_number", "ESP-023",
                "Gives a dummy packet the number and the vector of the packet before it.";
            // stamps
            StampMissing => "dp_stamp_missing", "ESP-092",
                "Sends packets without a time stamp although the policy demands one.";
            StampFrozen => "dp_stamp_frozen", "TBAR-001",
                "Stamps every packet with the time at which the policy came.";
            StampInSeconds => "dp_stamp_in_seconds", "TBAR-001",
                "Counts the pseudotime of its stamps in seconds instead of ticks.";
            StampWraps => "dp_stamp_wraps", "TBAR-006",
                "Keeps only the low 16 bits of the pseudotime of its stamps.";
            StampLittleEndian => "dp_stamp_little_endian", "TBAR-001",
                "Writes the pseudotime of its stamps with its low octet first.";
            D3pNanoseconds => "dp_d3p_nanoseconds", "ESP-094",
                "Writes nanoseconds where the delay detection header holds microseconds.";
            D3pLengthWrong => "dp_d3p_length_wrong", "ESP-092",
                "Leaves the first four octets of the delay detection header out of its length.";
        }
    };
}

macro_rules! send_variants {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            OuterTtlFresh => "dp_outer_ttl_fresh", "esp.md 6",
                "Sends outer headers with a TTL of 255 instead of a copy of the inner one.";
            OuterIdCounts => "dp_outer_id_counts", "RFC 6864",
                "Numbers outer headers with one counter instead of one for each pair of addresses.";
            IvCountsFromMiddle => "dp_iv_counts_from_middle", "RFC 6054",
                "Starts the counter of its initialisation vectors in the middle of its space.";
            PaddingOneBlockMore => "dp_pads_one_block_more", "ESP-009",
                "Adds one block of padding more than is needed to every eighth packet of fewer than 512 octets.";
            DummyPackets => "dp_dummy_packets", "ESP-013",
                "Sends a dummy packet (next header 59) behind every sixteenth protected packet.";
            OuterFlowLabelSet => "dp_outer_flow_label_set", "RFC 4301",
                "Sends outer IPv6 headers with a fixed flow label.";
            KeepsOldSaToItsEnd => "dp_keeps_old_sa_to_its_end", "getvpn.md 3.8",
                "Sends on the old SA until shortly before it ends instead of on the newest that is active.";
        }
    };
}
