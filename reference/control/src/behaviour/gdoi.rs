//! Defects and variants of GROUPKEY-PULL, GROUPKEY-PUSH and of group management.
//!
//! A defect without a number of its own is named after the machine that misbehaves and cites the rule that it breaks.

macro_rules! gdoi_defects {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            KsKekseqReset => "ks_kekseq_reset", "P01",
                "Numbers the PUSH that delivers a new KEK with 1 under the old KEK.";
            GmNoSeqcheck => "gm_no_seqcheck", "P02",
                "Takes every PUSH whatever its sequence number, also one that it has seen.";
            GmSeqGlobal => "gm_seq_global", "P03",
                "Keeps one sequence counter across KEKs.";
            KsSeqRestartOnFailover => "ks_seq_restart_on_failover", "P04",
                "Starts the counter anew under the same KEK after two PUSHes, as a server does that takes over without the counter.";
            KsKekAtExpiry => "ks_kek_at_expiry", "P05",
                "Replaces the KEK when it expires instead of before.";
            GmNoKekTimer => "gm_no_kek_timer", "P06",
                "Uses the KEK past its lifetime and never registers again because of it.";
            KsAckHashNewOnly => "ks_ack_hash_new_only", "P08",
                "Verifies acknowledgements under one reading of the key derivation only.";
            SighashDefaultOnly => "sighash_default_only", "P09",
                "Verifies signatures with SHA-1 whatever hash the policy names.";
            GmCrashNewKs => "gm_crash_new_ks", "P10",
                "Stops working on an attribute that it does not know.";
            NoRsaKey => "no_rsa_key", "P19",
                "Registers members although it cannot sign, sends no PUSH and says nothing.";
            SuitebReregisterLoop => "suiteb_reregister_loop", "P22",
                "Registers again at once, without a word, when it cannot use the policy.";
            LongSaGateMissing => "long_sa_gate_missing", "P24",
                "Gives keys that live longer than a day to members that are too old for them.";
            MaliciousKsAttr => "malicious_ks_attr", "P25",
                "Stops working on a malformed length in a policy or key payload.";
            FragReasm => "frag_reasm", "P26",
                "Loses every datagram that does not fit one Ethernet frame.";
            GmRemovedOnRetransmit => "gm_removed_on_retransmit", "P30",
                "Counts each copy of a PUSH as one missed rekey, so one silent rekey can remove a member.";
            StandardsAckIgnored => "standards_ack_ignored", "P31",
                "Ignores acknowledgements of RFC 8263 although it asks for them.";
            GdoiIdleRequired => "gdoi_idle_required", "P34",
                "Drops the group keys when the phase 1 SA goes away.";
            RetransmitNotReacked => "retransmit_not_reacked", "P37",
                "Does not repeat the encrypted acknowledgement for a copy of the latest PUSH.";
            RecoveryStorm => "recovery_storm", "P38",
                "Registers again for each PUSH with unknown cookies.";
            KsHash1Unchecked => "ks_hash1_unchecked", "GDOI-PULL-025",
                "Answers M1 without verifying HASH(1).";
            KsHash3Unchecked => "ks_hash3_unchecked", "GDOI-PULL-031",
                "Answers M3 without verifying HASH(3).";
            KsHash3LeadingZero => "ks_hash3_leading_zero", "GDOI-NEG-034",
                "Accepts HASH(3) in the Quick Mode form with a leading zero octet.";
            KsHash3SkipsGap => "ks_hash3_skips_gap", "GDOI-NEG-037",
                "Leaves the GAP payload out of HASH(3).";
            KsHash2WithoutNi => "ks_hash2_without_ni", "GDOI-PULL-014",
                "Leaves Ni out of HASH(2).";
            KsHash4NoncesSwapped => "ks_hash4_nonces_swapped", "GDOI-PULL-017",
                "Exchanges the two nonces in HASH(4).";
            KsHashTruncated => "ks_hash_truncated", "GDOI-PL-077",
                "Sends only 12 octets of each HASH.";
            KsNonceLengthUnchecked => "ks_nonce_length_unchecked", "GDOI-NEG-009",
                "Accepts nonces of any length in M1.";
            KsNonceReused => "ks_nonce_reused", "GDOI-PULL-024",
                "Uses the same Nr in every exchange.";
            KsNonceShort => "ks_nonce_short", "GDOI-PL-072",
                "Sends a nonce of 6 octets.";
            KsKeyIdLengthUnchecked => "ks_key_id_length_unchecked", "GDOI-NEG-010",
                "Takes the first four octets of a longer group identifier.";
            KsIdOctetsUnchecked => "ks_id_octets_unchecked", "GDOI-NEG-011",
                "Accepts DOI-specific octets other than 0 in the group identifier.";
            KsGroupByteOrderGuessed => "ks_group_byte_order_guessed", "GDOI-NEG-015",
                "Serves a group whose identifier comes in reversed octet order.";
            KsUnknownGroupServed => "ks_unknown_group_served", "GDOI-PULL-026",
                "Answers for its first group when the wanted one is unknown.";
            KsAuthorizationUnchecked => "ks_authorization_unchecked", "GDOI-PULL-027",
                "Lets every authenticated peer join every group.";
            KsAuthorizesByAddress => "ks_authorizes_by_address", "GDOI-P1-014",
                "Authorizes by source address instead of the phase 1 identity.";
            KsAuthorizationCached => "ks_authorization_cached", "GDOI-NEG-017",
                "Does not notice an authorization that is withdrawn between M1 and M3.";
            KsStateBeforeM3 => "ks_state_before_m3", "GDOI-PULL-028",
                "Records the member when M1 comes.";
            KsSidBeforeM3 => "ks_sid_before_m3", "GDOI-PULL-029",
                "Takes a sender id when M1 comes.";
            KsM2NotRetransmitted => "ks_m2_not_retransmitted", "GDOI-PULL-066",
                "Never sends M2 a second time.";
            KsM2ChangesOnRepeat => "ks_m2_changes_on_repeat", "GDOI-PULL-044",
                "Answers a repeated M1 with another M2.";
            KsRepeatedM3ServedAnew => "ks_repeated_m3_served_anew", "GDOI-PULL-045",
                "Serves a repeated M3 anew, with new sender ids.";
            KsSecondM3Served => "ks_second_m3_served", "GDOI-NEG-040",
                "Serves a second, different M3 after M4.";
            KsBadHashDropsPhase1 => "ks_bad_hash_drops_phase1", "GDOI-PULL-069",
                "Drops the phase 1 SA when a HASH is wrong.";
            KsZeroLengthLoops => "ks_zero_length_loops", "GDOI-NEG-019",
                "Stops working on a payload length below 4 or past the end.";
            KsCommitFlagSet => "ks_commit_flag_set", "GDOI-PULL-008",
                "Sets the commit flag in PULL messages.";
            KsIvNotChained => "ks_iv_not_chained", "GDOI-PULL-022",
                "Encrypts M4 with the first IV of the exchange.";
            KsUnknownGapIgnored => "ks_unknown_gap_ignored", "GDOI-PL-039",
                "Ignores unknown GAP attributes of a member.";
            KsSenderIdRequestIgnored => "ks_sender_id_request_ignored", "GDOI-SID-003",
                "Gives one sender id whatever number the member asks for.";
            KsSidReused => "ks_sid_reused", "GDOI-SID-029",
                "Gives the same sender id to every member.";
            KsSidWraps => "ks_sid_wraps", "GDOI-SID-009",
                "Starts sender ids anew when they run out, under the same keys.";
            KsSidPacketHasSpi => "ks_sid_packet_has_spi", "GDOI-SID-014",
                "Puts an SPI into the SID packet.";
            KsSidInPush => "ks_sid_in_push", "GDOI-SID-013",
                "Puts a SID packet into PUSH messages.";
            KsSeqMissing => "ks_seq_missing", "GDOI-PULL-036",
                "Leaves SEQ out of M4 although the policy has a KEK.";
            KsSeqWithoutSak => "ks_seq_without_sak", "GDOI-PULL-036",
                "Puts SEQ into M4 although the policy has no KEK.";
            KsM4SeqNext => "ks_m4_seq_next", "GDOI-PULL-037",
                "Reports the next sequence number in M4 instead of the last.";
            KsM4SeqZero => "ks_m4_seq_zero", "GDOI-PULL-037",
                "Reports sequence number 0 in every M4.";
            KsPullAdvancesSequence => "ks_pull_advances_sequence", "GDOI-PULL-039",
                "Counts each registration as a PUSH.";
            KsM4KdBeforeSeq => "ks_m4_kd_before_seq", "GDOI-PULL-004",
                "Puts KD before SEQ in M4.";
            KsM4KekMissing => "ks_m4_kek_missing", "GDOI-PULL-034",
                "Leaves the KEK out of M4.";
            KsTekPacketMissing => "ks_tek_packet_missing", "GDOI-PULL-035",
                "Leaves the keys of one TEK out of each KD.";
            KsPushTekWithoutKey => "ks_push_tek_without_key", "GDOI-PUSH-025",
                "Sends TEK policy without keys in a PUSH.";
            KsLargePushCut => "ks_large_push_cut", "FRAG-008",
                "Leaves the flows that do not fit into one packet out of a PUSH.";
            KsSakSixReserved => "ks_sak_six_reserved", "GDOI-PL-023",
                "Puts six reserved octets behind the SPI of a SAK.";
            KsKekLifetimeTruncated => "ks_kek_lifetime_truncated", "GDOI-PL-035",
                "Sends KEK_KEY_LIFETIME as a 16-bit number that drops the upper bits.";
            KsKekLengthCountsIv => "ks_kek_length_counts_iv", "GDOI-PL-032",
                "Counts the IV in KEK_KEY_LENGTH.";
            KsKekKeyBeforeIv => "ks_kek_key_before_iv", "GDOI-PL-068",
                "Puts the key before the IV in KEK_ALGORITHM_KEY.";
            KsSaOrderWrong => "ks_sa_order_wrong", "GDOI-PL-018",
                "Reverses the order of SAK, GAP and SAT.";
            KsSaDoiOne => "ks_sa_doi_one", "GDOI-PL-011",
                "Sends SA payloads with DOI 1.";
            KsSaSituationOne => "ks_sa_situation_one", "GDOI-PL-012",
                "Sends SA payloads with situation 1.";
            KsSakAlgorithmMissing => "ks_sak_algorithm_missing", "GDOI-PL-025",
                "Leaves KEK_ALGORITHM out of the SAK.";
            KsSakSigAlgorithmMissing => "ks_sak_sig_algorithm_missing", "GDOI-PL-026",
                "Leaves SIG_ALGORITHM out of the SAK.";
            KsManagementAlgorithmInPull => "ks_management_algorithm_in_pull", "GDOI-PL-028",
                "Sends KEK_MANAGEMENT_ALGORITHM in a PULL.";
            KsUnknownKekAttribute => "ks_unknown_kek_attribute", "GDOI-PL-031",
                "Sends a KEK attribute of an unassigned class.";
            KsGroupDescriptionSent => "ks_group_description_sent", "GDOI-PL-047",
                "Sends Group Description in SATs.";
            KsKdCountWrong => "ks_kd_count_wrong", "GDOI-PL-057",
                "Announces one key packet more than there is.";
            KsTwoKekPackets => "ks_two_kek_packets", "GDOI-PL-066",
                "Sends the KEK packet twice.";
            KsTekKeyTwice => "ks_tek_key_twice", "GDOI-PL-060",
                "Sends TEK_ALGORITHM_KEY twice in one packet.";
            KsGcmWithoutSalt => "ks_gcm_without_salt", "GDOI-PL-062",
                "Leaves the salt out of AES-GCM keys.";
            KsMacKeyClassWrong => "ks_mac_key_class_wrong", "GDOI-PL-065",
                "Sends MAC keys as TEK_SOURCE_AUTH_KEY.";
            KsTekKeyReused => "ks_tek_key_reused", "GDOI-SID-001",
                "Gives a new TEK the keys of the one before.";
            KsTekLifetimeWhole => "ks_tek_lifetime_whole", "REG-013",
                "Announces the whole lifetime of a TEK instead of what is left of it.";
            KsPushWrongOrder => "ks_push_wrong_order", "GDOI-PUSH-007",
                "Reverses the order of the payloads between SEQ and SIG.";
            KsPushUnsigned => "ks_push_unsigned", "GDOI-PUSH-007",
                "Sends PUSH messages without SIG.";
            KsSignsPaddedLength => "ks_signs_padded_length", "GDOI-PUSH-012",
                "Signs the header with the length of the padded message.";
            KsSignsFlagsClear => "ks_signs_flags_clear", "GDOI-PUSH-012",
                "Signs the header without the encryption flag.";
            KsSigMissingPrefix => "ks_sig_missing_prefix", "GDOI-PUSH-011",
                "Leaves the prefix out of the signed digest.";
            KsSigMissingHeader => "ks_sig_missing_header", "GDOI-PUSH-011",
                "Leaves the header out of the signed digest.";
            KsSigBareDigest => "ks_sig_bare_digest", "GDOI-PUSH-013",
                "Signs the bare digest without DigestInfo.";
            KsSigHashSha1 => "ks_sig_hash_sha1", "GDOI-PUSH-014",
                "Signs with SHA-1 whatever hash the policy names.";
            KsPushMessageIdSet => "ks_push_message_id_set", "GDOI-PUSH-002",
                "Sends PUSH messages with message id 1.";
            KsPushFlagsExtra => "ks_push_flags_extra", "GDOI-PUSH-001",
                "Sets the commit flag in PUSH messages.";
            KsPushCookiesSwapped => "ks_push_cookies_swapped", "GDOI-PUSH-004",
                "Exchanges the halves of the KEK SPI in the header.";
            KsPushIvChained => "ks_push_iv_chained", "GDOI-PUSH-009",
                "Starts each PUSH from the last block of the one before.";
            KsPushPaddingRandom => "ks_push_padding_random", "GDOI-PUSH-010",
                "Pads PUSH messages with random octets.";
            KsPushExtraPadding => "ks_push_extra_padding", "GDOI-PUSH-010",
                "Pads PUSH messages with one block too many.";
            KsPushWrongSource => "ks_push_wrong_source", "GDOI-PUSH-006",
                "Sends PUSH messages from another port than the SAK announces.";
            KsPushFirstMemberOnly => "ks_push_first_member_only", "REKEY-001",
                "Sends unicast PUSH messages to one member only.";
            KsKekSequenceStartsAtTwo => "ks_kek_sequence_starts_at_two", "GDOI-PUSH-018",
                "Numbers the first PUSH under a replaced KEK with 2.";
            KsSequenceRepeats => "ks_sequence_repeats", "GDOI-PUSH-021",
                "Uses each sequence number for two different PUSHes.";
            KsSequenceSkips => "ks_sequence_skips", "GDOI-PUSH-017",
                "Counts on by two.";
            KsSequencePerMember => "ks_sequence_per_member", "GDOI-PUSH-017",
                "Counts on for every member that a unicast PUSH goes to.";
            KsKekRekeyUnderNewKek => "ks_kek_rekey_under_new_kek", "GDOI-PUSH-019",
                "Encrypts the PUSH that delivers a new KEK under that new KEK.";
            KsKekPushWithoutSak => "ks_kek_push_without_sak", "GDOI-PUSH-023",
                "Delivers a new KEK without its SAK.";
            KsKekPushWithoutKey => "ks_kek_push_without_key", "GDOI-PUSH-024",
                "Announces a new KEK without its key.";
            KsKdOldSpi => "ks_kd_old_spi", "GDOI-PL-059",
                "Puts the SPI of the old KEK into the packet of the new one.";
            KsDeleteCarriesSa => "ks_delete_carries_sa", "GDOI-PUSH-029",
                "Puts SA and KD into a PUSH that only deletes.";
            KsDeleteKekProtocolOne => "ks_delete_kek_protocol_one", "GDOI-PL-074",
                "Deletes the KEK with protocol 1.";
            KsDeleteMixed => "ks_delete_mixed", "GDOI-PL-075",
                "Deletes TEKs and KEK with one Delete payload.";
            KsDeleteDoiOne => "ks_delete_doi_one", "GDOI-PL-073",
                "Sends Delete payloads with DOI 1.";
            KsCleanSlateKeepsKek => "ks_clean_slate_keeps_kek", "GDOI-PL-076",
                "Deletes all TEKs but not the KEK when everything should go.";
            KsTekRekeyLate => "ks_tek_rekey_late", "GDOI-PUSH-034",
                "Replaces a TEK ten seconds after it expired.";
            KsLeadIgnoresCopies => "ks_lead_ignores_copies", "REKEY-004",
                "Leaves no time for the copies of a PUSH before keys expire.";
            KsRetransmitChanges => "ks_retransmit_changes", "REKEY-005",
                "Gives each copy of a PUSH a sequence number of its own.";
            KsUnicastNoCopies => "ks_unicast_no_copies", "REKEY-005",
                "Sends each unicast PUSH only once.";
            KsMcastNoCopies => "ks_mcast_no_copies", "MCAST-002",
                "Sends each multicast PUSH only once.";
            KsMcastRemovesSilent => "ks_mcast_removes_silent", "MCAST-003",
                "Removes members that do not acknowledge multicast PUSHes.";
            KsCopiesAfterAck => "ks_copies_after_ack", "REKEY-006",
                "Goes on sending copies to members that have acknowledged.";
            KsNeverRemoves => "ks_never_removes", "REKEY-009",
                "Keeps sending to members that never acknowledge.";
            KsRemovedStaysOut => "ks_removed_stays_out", "REKEY-010",
                "Refuses a member that silence removed when it registers again.";
            KsRemovalInOnePush => "ks_removal_in_one_push", "GDOI-PUSH-062",
                "Sends new TEKs in the same PUSH that excludes a member.";
            KsRemovalKeepsKek => "ks_removal_keeps_kek", "GDOI-PUSH-062",
                "Excludes a member without replacing the KEK.";
            KsOldTeksNotShortened => "ks_old_teks_not_shortened", "POLICY-015",
                "Does not shorten replaced TEKs on an operator's rekey.";
            KsPolicyChangePushes => "ks_policy_change_pushes", "POLICY-014",
                "Sends a PUSH as soon as its configuration changes, without being told to.";
            KsPolicyChangeServedEarly => "ks_policy_change_served_early", "POLICY-014",
                "Hands the old TEKs out with the traffic of a changed configuration.";
            KsPolicyChangeLost => "ks_policy_change_lost", "POLICY-014",
                "Forgets a changed configuration before the rekey that was to bring it.";
            KsLifetimeChangeHitsOldTek => "ks_lifetime_change_hits_old_tek", "REKEY-034",
                "Applies a changed lifetime to the TEKs that are in use.";
            KsRemovedStillPushed => "ks_removed_still_pushed", "POLICY-020",
                "Goes on sending PUSH messages to members that an operator has removed.";
            KsPushNeedsPhase1 => "ks_push_needs_phase1", "REG-015",
                "Sends PUSH messages only to members whose phase 1 SA is still there.";
            KsReplaceNowKeepsOld => "ks_replace_now_keeps_old", "POLICY-017",
                "Does not delete the old TEKs when an operator replaces them at once.";
            KsAckHashUnchecked => "ks_ack_hash_unchecked", "GDOI-ACK-026",
                "Credits acknowledgements with a wrong HASH.";
            KsAckUnknownCounted => "ks_ack_unknown_counted", "GDOI-NEG-187",
                "Credits acknowledgements of a PUSH that it never sent.";
            KsAckLateIgnored => "ks_ack_late_ignored", "REKEY-007",
                "Ignores acknowledgements of any but the latest PUSH.";
            KsAckRequestMissingInPush => "ks_ack_request_missing_in_push", "GDOI-ACK-001",
                "Leaves KEK_ACK_REQUESTED out of the SAK of a PUSH.";
            KsLkhDownloadInPush => "ks_lkh_download_in_push", "GDOI-LKH-005",
                "Puts an LKH_DOWNLOAD_ARRAY into a PUSH.";
            KsLkhRootFirst => "ks_lkh_root_first", "GDOI-LKH-006",
                "Lists the keys of a download array from the root down.";
            KsLkhHandleKept => "ks_lkh_handle_kept", "GDOI-LKH-012",
                "Keeps the handle of a node when its key changes.";
            KsLkhRemovedKept => "ks_lkh_removed_kept", "GDOI-LKH-017",
                "Wraps the new KEK so that the removed member can open it.";
            KsLkhSigClassTwo => "ks_lkh_sig_class_two", "GDOI-LKH-020",
                "Sends the signature key of an LKH packet as class 2.";
            KsLkhVersionZero => "ks_lkh_version_zero", "GDOI-LKH-007",
                "Sends LKH arrays with version 0.";
            KsOnePullAtATime => "ks_one_pull_at_a_time", "GDOI-P1-010",
                "Forgets every open PULL when another one begins.";
            KsHashCoversPadding => "ks_hash_covers_padding", "GDOI-PULL-019",
                "Verifies HASH(1) over the encryption padding as well.";
            KsM1PayloadsUnchecked => "ks_m1_payloads_unchecked", "GDOI-NEG-008",
                "Takes the first nonce and the first ID of M1, in any order and number.";
            KsClearPullServed => "ks_clear_pull_served", "GDOI-NEG-027",
                "Serves an M1 that comes in clear.";
            KsGapFormIgnored => "ks_gap_form_ignored", "GDOI-NEG-043",
                "Takes a request for sender ids in any form, and the sum of several.";
            KsZeroRequestKills => "ks_zero_request_kills", "GDOI-NEG-045",
                "Stops working on a request for no sender id.";
            KsMemberDelayAdopted => "ks_member_delay_adopted", "GDOI-NEG-049",
                "Makes the delay that a member sends the policy of the group.";
            KsM4Repeated => "ks_m4_repeated", "GDOI-PULL-067",
                "Sends M4 once more without being asked.";
            KsOpenPullsKept => "ks_open_pulls_kept", "GDOI-PULL-071",
                "Keeps PULLs that are never finished for as long as the phase 1 SA lives.";
            KsPullUnderAnyDoi => "ks_pull_under_any_doi", "GDOI-P1-004",
                "Serves PULL under a phase 1 SA of any DOI.";
            KsDuplicateMembers => "ks_duplicate_members", "REG-019",
                "Records a member anew each time it registers.";
            KsPolicyTruncated => "ks_policy_truncated", "FRAG-009",
                "Leaves out the SATs that do not fit one frame.";
            KsM4InClear => "ks_m4_in_clear", "GDOI-SEC-003",
                "Sends M4 without encryption.";
            KsKeysSurviveRestart => "ks_keys_survive_restart", "GDOI-SID-030",
                "Makes the same keys again after a restart.";
            KsSidPacketMissing => "ks_sid_packet_missing", "GDOI-SID-012",
                "Sends counter-mode keys without a SID packet.";
            KsSidBitsMissing => "ks_sid_bits_missing", "GDOI-SID-015",
                "Leaves NUMBER_OF_SID_BITS out of the SID packet.";
            KsTeksShareKey => "ks_teks_share_key", "GDOI-SID-001",
                "Gives TEKs that it makes together and that have one transform the same key.";
            KsSaltAloneChanges => "ks_salt_alone_changes", "GDOI-SID-001",
                "Rekeys a counter mode with a new salt behind the old key.";
            KsTekSpiShared => "ks_tek_spi_shared", "GDOI-PL-046",
                "Gives all TEKs of a group the same SPI.";
            KsFloodLocksOut => "ks_flood_locks_out", "GDOI-NEG-053",
                "Stops working after a thousand messages with unknown cookies.";
            KsWeakByDefault => "ks_weak_by_default", "GDOI-ALG-002",
                "Uses DES and MD5 without the operator's consent.";
            GmHash2Unchecked => "gm_hash2_unchecked", "GDOI-PULL-049",
                "Goes on without verifying HASH(2).";
            GmHash4Unchecked => "gm_hash4_unchecked", "GDOI-PULL-050",
                "Installs keys without verifying HASH(4).";
            GmNonceLengthUnchecked => "gm_nonce_length_unchecked", "GDOI-NEG-059",
                "Accepts nonces of any length in M2.";
            GmNonceReused => "gm_nonce_reused", "GDOI-PULL-024",
                "Uses the same Ni in every exchange.";
            GmNonceShort => "gm_nonce_short", "GDOI-PL-072",
                "Sends a nonce of 6 octets.";
            GmHash3LeadingZero => "gm_hash3_leading_zero", "GDOI-PULL-015",
                "Computes HASH(3) in the Quick Mode form with a leading zero octet.";
            GmGapUnhashed => "gm_gap_unhashed", "GDOI-PULL-016",
                "Leaves the GAP payload out of HASH(3).";
            GmIdIsOwnAddress => "gm_id_is_own_address", "GDOI-PULL-070",
                "Sends its own address instead of the group identifier.";
            GmIdOctetsNonzero => "gm_id_octets_nonzero", "GDOI-PL-004",
                "Sends protocol 17 and port 848 in the group identifier.";
            GmGroupIdLittleEndian => "gm_group_id_little_endian", "GDOI-PL-001",
                "Sends the group identifier in little-endian order.";
            GmMessageIdReused => "gm_message_id_reused", "GDOI-PULL-009",
                "Uses the same message id for every registration.";
            GmRetransmitChanges => "gm_retransmit_changes", "GDOI-PULL-065",
                "Sends another M1 under the same message id when no answer comes.";
            GmNeverRetransmits => "gm_never_retransmits", "GDOI-PULL-065",
                "Gives up a registration without sending a message twice.";
            GmSaOrderIgnored => "gm_sa_order_ignored", "GDOI-NEG-069",
                "Takes SAK, GAP and SAT in any order and number.";
            GmSaDoiUnchecked => "gm_sa_doi_unchecked", "GDOI-NEG-061",
                "Accepts SA payloads of any DOI.";
            GmSituationUnchecked => "gm_situation_unchecked", "GDOI-NEG-062",
                "Accepts SA payloads of any situation.";
            GmUnknownAttributeIgnored => "gm_unknown_attribute_ignored", "GDOI-PL-031",
                "Ignores attributes that it does not know.";
            GmAcceptsAnyKek => "gm_accepts_any_kek", "POLICY-021",
                "Accepts KEK ciphers and hashes below its own floor.";
            GmAcceptsAnyTransform => "gm_accepts_any_transform", "POLICY-022",
                "Accepts transforms below its own floor.";
            GmRefusalSilent => "gm_refusal_silent", "GDOI-PULL-051",
                "Refuses a policy without telling the server.";
            GmZeroLengthLoops => "gm_zero_length_loops", "GDOI-NEG-181",
                "Stops working on a payload length below 4 or past the end.";
            GmKeysByPosition => "gm_keys_by_position", "GDOI-PULL-054",
                "Matches key packets to policies by position.";
            GmKekSpiUnchecked => "gm_kek_spi_unchecked", "GDOI-NEG-164",
                "Accepts a KEK packet with another SPI than the SAK.";
            GmKeyLengthUnchecked => "gm_key_length_unchecked", "GDOI-NEG-119",
                "Installs keys of any length.";
            GmIntegrityOptional => "gm_integrity_optional", "GDOI-NEG-120",
                "Installs an authenticated transform without its MAC key.";
            GmMissingSeqAccepted => "gm_missing_seq_accepted", "GDOI-NEG-103",
                "Takes a missing SEQ in M4 for 0.";
            GmPullSequenceIgnored => "gm_pull_sequence_ignored", "GDOI-PULL-057",
                "Starts at sequence number 0 whatever M4 reports.";
            GmPullLowersSequence => "gm_pull_lowers_sequence", "GDOI-PULL-058",
                "Lets M4 move the sequence counter backwards.";
            GmSenderIdRequestMissing => "gm_sender_id_request_missing", "GDOI-SID-004",
                "Never asks for the sender ids that it needs.";
            GmInstallsCounterWithoutSid => "gm_installs_counter_without_sid", "GDOI-SID-027",
                "Installs counter-mode SAs of a PUSH without a sender id.";
            GmNewSidUnderOldKeys => "gm_new_sid_under_old_keys", "ESP-023",
                "Goes on sending under counter-mode keys that a registration does not mention, with the sender ids that it brought.";
            GmOldSidKept => "gm_old_sid_kept", "GDOI-SID-023",
                "Keeps the sender ids that it has when a registration brings others.";
            GmSidChangesOnPush => "gm_sid_changes_on_push", "GDOI-SID-021",
                "Takes the sender ids after its own for the SAs of a PUSH.";
            GmSidExhaustionIgnored => "gm_sid_exhaustion_ignored", "GDOI-SID-025",
                "Does not register again when its sender ids have run out.";
            GmSidFromPush => "gm_sid_from_push", "GDOI-NEG-169",
                "Takes sender ids from a PUSH.";
            GmDropsSasOnFailure => "gm_drops_sas_on_failure", "GDOI-PULL-064",
                "Drops its keys when a registration fails.";
            GmCommitFlagSet => "gm_commit_flag_set", "GDOI-PULL-008",
                "Sets the commit flag in PULL messages.";
            GmPullNeverGivenUp => "gm_pull_never_given_up", "GDOI-PULL-068",
                "Repeats a PULL message for ever.";
            GmM2PayloadsUnchecked => "gm_m2_payloads_unchecked", "GDOI-NEG-060",
                "Takes the first nonce and the first SA of M2, in any order and number.";
            GmSaFrameUnchecked => "gm_sa_frame_unchecked", "GDOI-NEG-065",
                "Looks at one octet of the four that begin the chain of policies.";
            GmAlgorithmsAssumed => "gm_algorithms_assumed", "GDOI-NEG-080",
                "Takes AES-128, RSA and SHA-256 for what a SAK leaves out or names by an unknown number.";
            GmRepeatedAttributeTaken => "gm_repeated_attribute_taken", "GDOI-NEG-085",
                "Takes the first of several values of a KEK attribute.";
            GmAttributeFormIgnored => "gm_attribute_form_ignored", "GDOI-NEG-086",
                "Reads KEK attributes in any form and size.";
            GmReservedSpiAccepted => "gm_reserved_spi_accepted", "GDOI-NEG-098",
                "Installs SAs under reserved SPIs.";
            GmSatConflictTaken => "gm_sat_conflict_taken", "GDOI-NEG-097",
                "Takes the first of two SATs that have one SPI and contradict each other.";
            GmSatValuesAssumed => "gm_sat_values_assumed", "GDOI-NEG-100",
                "Takes SAT attribute values that mean nothing for the usual ones.";
            GmKekLengthUnchecked => "gm_kek_length_unchecked", "GDOI-NEG-115",
                "Cuts or fills up a KEK that does not have the length of its cipher.";
            GmSidPacketUnchecked => "gm_sid_packet_unchecked", "GDOI-NEG-123",
                "Cuts sender ids to whatever size it likes.";
            GmM4ReplayTaken => "gm_m4_replay_taken", "GDOI-NEG-126",
                "Goes back to the sequence number of M4 when M4 comes again.";
            GmIgnorableRefused => "gm_ignorable_refused", "GDOI-PL-029",
                "Refuses attributes that it has to ignore.";
            GmDirectionAbsentOneWay => "gm_direction_absent_one_way", "GDOI-PL-055",
                "Takes an SA without a direction for one that only receives.";
            GmNonceLengthFixed => "gm_nonce_length_fixed", "GDOI-PL-072",
                "Takes only nonces of 16 octets.";
            GmWholePolicyNeeded => "gm_whole_policy_needed", "GDOI-PULL-060",
                "Refuses a policy that has no SAK or no SAT.";
            GmOptionalAttributesNeeded => "gm_optional_attributes_needed", "GDOI-PL-027",
                "Refuses a SAK without lifetime or key size.";
            GmDropsKeysFirst => "gm_drops_keys_first", "REG-021",
                "Drops its keys when it begins to register again.";
            GmM2CopyAborts => "gm_m2_copy_aborts", "GDOI-NEG-127",
                "Gives a registration up when a copy of M2 comes.";
            GmUnsolicitedPullKills => "gm_unsolicited_pull_kills", "GDOI-PULL-043",
                "Drops its keys on a PULL message that it did not ask for.";
            GmClearPullTaken => "gm_clear_pull_taken", "GDOI-P1-001",
                "Takes an M2 that comes in clear.";
            GmPushPortPinned => "gm_push_port_pinned", "GDOI-PL-024",
                "Takes PUSH messages only from the port of its server.";
            GmLkhRepeatsTaken => "gm_lkh_repeats_taken", "GDOI-NEG-113",
                "Takes the last of several LKH arrays.";
            GmNoFailover => "gm_no_failover", "REG-004",
                "Tries no other server when the first one fails.";
            GmServerOrderIgnored => "gm_server_order_ignored", "REG-003",
                "Tries its servers in reversed order.";
            GmNoBackOff => "gm_no_back_off", "REG-005",
                "Tries again every second when all servers fail.";
            GmNeverReregisters => "gm_never_reregisters", "GDOI-PUSH-057",
                "Lets its keys expire without registering again.";
            GmReregistersLate => "gm_reregisters_late", "GDOI-PUSH-057",
                "Registers again five seconds after its keys expired.";
            GmNoReregisterOnDelete => "gm_no_reregister_on_delete", "GDOI-PUSH-055",
                "Does not register again when a PUSH deleted its keys.";
            GmNoSigCheck => "gm_no_sig_check", "GDOI-PUSH-041",
                "Accepts PUSH messages without verifying the signature.";
            GmUnsignedAccepted => "gm_unsigned_accepted", "GDOI-NEG-146",
                "Accepts PUSH messages without SIG.";
            GmBareDigestAccepted => "gm_bare_digest_accepted", "GDOI-NEG-155",
                "Accepts signatures over the bare digest.";
            GmPayloadAfterSigAccepted => "gm_payload_after_sig_accepted", "GDOI-NEG-147",
                "Accepts payloads behind SIG.";
            GmSaWithoutKdAccepted => "gm_sa_without_kd_accepted", "GDOI-NEG-162",
                "Accepts a PUSH with SA but no KD, or KD but no SA.";
            GmPartialInstall => "gm_partial_install", "GDOI-PUSH-060",
                "Installs what it understands of a policy and skips the rest.";
            GmSeqEqualAccepted => "gm_seq_equal_accepted", "GDOI-PUSH-038",
                "Accepts a PUSH with the sequence number of the last one.";
            GmSeqWindow => "gm_seq_window", "GDOI-PUSH-039",
                "Accepts sequence numbers up to 31 below the last one.";
            GmSeqWraps => "gm_seq_wraps", "GDOI-NEG-145",
                "Lets the sequence number wrap.";
            GmSeqGapRefused => "gm_seq_gap_refused", "GDOI-PUSH-040",
                "Refuses a PUSH that leaves a gap in the sequence.";
            GmSeqBeforeSig => "gm_seq_before_sig", "GDOI-PUSH-042",
                "Stores the sequence number before it verifies the signature.";
            GmOldKekAccepted => "gm_old_kek_accepted", "GDOI-PUSH-046",
                "Accepts new PUSHes under a replaced KEK.";
            GmCookiePrefixMatch => "gm_cookie_prefix_match", "GDOI-NEG-132",
                "Finds the KEK by the first half of its SPI.";
            GmAnySignatureHash => "gm_any_signature_hash", "GDOI-NEG-152",
                "Accepts a signature over any hash that it knows.";
            GmSignaturePrefixOptional => "gm_signature_prefix_optional", "GDOI-NEG-153",
                "Accepts a signature that leaves the prefix out.";
            GmSignatureHeaderOptional => "gm_signature_header_optional", "GDOI-NEG-154",
                "Accepts a signature that leaves the header out.";
            GmNoEcdsa => "gm_no_ecdsa", "GDOI-PUSH-041",
                "Registers with an ECDSA signing key and then verifies nothing with it.";
            GmShortSignatureKeysOnly => "gm_short_signature_keys_only", "RSA-003",
                "Registers with a signing key above 2048 bits and then verifies nothing with it.";
            GmKeepsSigningKey => "gm_keeps_signing_key", "RSA-009",
                "Keeps the signing key when a PUSH brings a new one.";
            GmKekOnlyRefused => "gm_kek_only_refused", "GDOI-PUSH-049",
                "Refuses a PUSH that brings a KEK and no TEK.";
            GmForgetsKekWithoutSak => "gm_forgets_kek_without_sak", "GDOI-PUSH-047",
                "Drops the KEK when a PUSH brings no SAK.";
            GmSameSpiRekeyed => "gm_same_spi_rekeyed", "GDOI-NEG-165",
                "Takes another key for the SPI of the KEK in use.";
            GmUnknownDeleteRefused => "gm_unknown_delete_refused", "GDOI-NEG-178",
                "Refuses a PUSH that deletes an SPI that it does not hold.";
            GmDeletesAfterInstalling => "gm_deletes_after_installing", "GDOI-PUSH-054",
                "Carries out the Delete payloads of a PUSH after its SA payload.";
            GmMulticastNotFollowed => "gm_multicast_not_followed", "MCAST-007",
                "Does not join the multicast group that a PUSH announces.";
            GmAckToRegistrationPort => "gm_ack_to_registration_port", "GDOI-ACK-016",
                "Sends acknowledgements to the key server it registered with, wherever the PUSH came from.";
            GmAckTwice => "gm_ack_twice", "GDOI-ACK-003",
                "Acknowledges each PUSH twice.";
            GmUnknownAckTypeRefused => "gm_unknown_ack_type_refused", "GDOI-ACK-004",
                "Refuses a policy that asks for acknowledgements of a type it does not know.";
            GmAckSha512AsSha256 => "gm_ack_sha512_as_sha256", "GDOI-ACK-017",
                "Acknowledges with SHA-256 whatever type was asked for.";
            GmAckLeafIgnored => "gm_ack_leaf_ignored", "GDOI-ACK-020",
                "Keys acknowledgements with the group KEK when the leaf key was asked for.";
            GmLkhVersionIgnored => "gm_lkh_version_ignored", "GDOI-NEG-171",
                "Reads LKH arrays of any version.";
            GmLkhKeyTypeIgnored => "gm_lkh_key_type_ignored", "GDOI-NEG-173",
                "Takes LKH keys of another type than the cipher of the KEK.";
            GmLkhExpiryIgnored => "gm_lkh_expiry_ignored", "GDOI-LKH-011",
                "Unwraps LKH keys with a key that has expired.";
            GmLkhHandleIgnored => "gm_lkh_handle_ignored", "GDOI-LKH-022",
                "Compares the LKH ID of an update array but not the handle.";
            GmRegistersWithoutSpread => "gm_registers_without_spread", "POLICY-019",
                "Registers at once when a PUSH deleted its keys, like every other member of the group.";
            GmOldKekClock => "gm_old_kek_clock", "GDOI-PUSH-056",
                "Lets a KEK that came by PUSH end when the one before would have ended.";
            GmAckNotForDelete => "gm_ack_not_for_delete", "GDOI-ACK-007",
                "Does not acknowledge a PUSH that deletes the KEK.";
            GmAnswersAcks => "gm_answers_acks", "GDOI-NEG-194",
                "Sends an acknowledgement that it receives back to where it came from.";
            GmPushSourcePinned => "gm_push_source_pinned", "REKEY-020",
                "Takes PUSHes from the key server only that it registered with.";
            GmEncryptedAckOldKek => "gm_encrypted_ack_old_kek", "REKEY-014",
                "Encrypts its acknowledgement with the KEK that protected the PUSH.";
            GmDeafAfterLargePush => "gm_deaf_after_large_push", "FRAG-007",
                "Stops working on a message of more than 20000 octets.";
            GmLkhTakesLeaf => "gm_lkh_takes_leaf", "GDOI-LKH-018",
                "Takes the first key of a downloaded LKH array for the KEK.";
            GmMulticastNeverJoined => "gm_multicast_never_joined", "MCAST-004",
                "Does not join the multicast group of the policy.";
            GmCopyMovesCounter => "gm_copy_moves_counter", "MCAST-005",
                "Counts a copy of the latest PUSH as one more.";
            GmUnicastEveryOther => "gm_unicast_every_other", "MCAST-009",
                "Takes only PUSHes with odd numbers by unicast when the policy says multicast.";
            GmClashDropsKek => "gm_clash_drops_kek", "GDOI-NEG-167",
                "Drops the KEK when a PUSH brings an SPI in use with other keys.";
            GmCookiesIgnored => "gm_cookies_ignored", "GDOI-NEG-131",
                "Tries its KEK on every PUSH, whatever the cookies.";
            GmExchangeTypeIgnored => "gm_exchange_type_ignored", "GDOI-NEG-135",
                "Takes an acknowledgement with the cookies of its KEK for a PUSH.";
            GmSeqAnywhere => "gm_seq_anywhere", "GDOI-NEG-139",
                "Takes SEQ wherever it stands in a PUSH.";
            GmSeqLengthIgnored => "gm_seq_length_ignored", "GDOI-NEG-140",
                "Reads a SEQ payload of any length.";
            GmUnknownPayloadSkipped => "gm_unknown_payload_skipped", "GDOI-NEG-182",
                "Steps over payloads of a PUSH that it does not know.";
            GmLateDeleteLost => "gm_late_delete_lost", "GDOI-NEG-179",
                "Accepts Delete payloads behind KD and does not carry them out.";
            GmEmptyPushDeletes => "gm_empty_push_deletes", "GDOI-NEG-161",
                "Takes a PUSH of SEQ and SIG alone for the deletion of the KEK.";
            GmCopyReinstallsKek => "gm_copy_reinstalls_kek", "REKEY-024",
                "Counts anew under the current KEK when the PUSH that brought it comes again.";
            GmPushFlagsIgnored => "gm_push_flags_ignored", "GDOI-NEG-133",
                "Accepts PUSH messages with any flags.";
            GmPushMessageIdIgnored => "gm_push_message_id_ignored", "GDOI-NEG-134",
                "Accepts PUSH messages with any message id.";
            GmPushClearAccepted => "gm_push_clear_accepted", "GDOI-PUSH-059",
                "Accepts PUSH messages in clear.";
            GmAnswersBadPush => "gm_answers_bad_push", "GDOI-PUSH-058",
                "Answers a bad PUSH with a notification.";
            GmDeafAfterBadSig => "gm_deaf_after_bad_sig", "GDOI-NEG-149",
                "Drops its Rekey SA after a PUSH with a wrong signature.";
            GmDeleteZeroIgnored => "gm_delete_zero_ignored", "GDOI-PUSH-052",
                "Ignores the SPI that means all.";
            GmDeleteKekIgnored => "gm_delete_kek_ignored", "GDOI-PUSH-051",
                "Ignores the deletion of the KEK.";
            GmDeleteListedRemovesAll => "gm_delete_listed_removes_all", "GDOI-PUSH-050",
                "Removes all SAs when one is deleted.";
            GmDeleteUnchecked => "gm_delete_unchecked", "GDOI-NEG-174",
                "Accepts Delete payloads of any DOI, protocol and SPI size.";
            GmDeleteUnderPhase1 => "gm_delete_under_phase1", "GDOI-NEG-180",
                "Deletes data SAs that an Informational names.";
            GmDeleteNotShortened => "gm_delete_not_shortened", "POLICY-018",
                "Keeps its SAs for their whole life when the KEK is deleted.";
            GmAtdIgnored => "gm_atd_ignored", "GDOI-PL-041",
                "Ignores the activation delay.";
            GmDtdIgnored => "gm_dtd_ignored", "GDOI-PL-042",
                "Ignores the deactivation delay.";
            GmNewSaInactive => "gm_new_sa_inactive", "GDOI-PUSH-048",
                "Does not use the SAs of a PUSH as long as it has older ones.";
            GmLkhFirstArrayOnly => "gm_lkh_first_array_only", "GDOI-LKH-022",
                "Looks only at the first update array.";
            GmLkhInnerKeysForgotten => "gm_lkh_inner_keys_forgotten", "GDOI-LKH-019",
                "Does not store the new keys of inner nodes.";
            GmLkhDownloadInPushAccepted => "gm_lkh_download_in_push_accepted", "GDOI-NEG-170",
                "Takes a download array from a PUSH.";
            GmAckMissing => "gm_ack_missing", "GDOI-ACK-003",
                "Sends no acknowledgements although they are requested.";
            GmAckUnrequested => "gm_ack_unrequested", "RSA-013",
                "Sends acknowledgements of RFC 8263 that nobody requested.";
            GmAckWrongSeq => "gm_ack_wrong_seq", "GDOI-ACK-012",
                "Acknowledges the next sequence number.";
            GmAckAfterBadSig => "gm_ack_after_bad_sig", "GDOI-ACK-006",
                "Acknowledges a PUSH whose signature is wrong.";
            GmAckNewKek => "gm_ack_new_kek", "GDOI-ACK-019",
                "Keys the acknowledgement of a KEK rekey with the new KEK.";
            GmAckIdentityWrong => "gm_ack_identity_wrong", "GDOI-ACK-015",
                "Names an address in acknowledgements that is not its own.";
            GmAckIdPortSet => "gm_ack_id_port_set", "GDOI-ACK-014",
                "Sets protocol and port in the identity of acknowledgements.";
            GmAckFlagsSet => "gm_ack_flags_set", "GDOI-ACK-009",
                "Sends acknowledgements with the wrong encryption flag.";
            GmAckMessageIdSet => "gm_ack_message_id_set", "GDOI-ACK-010",
                "Sends acknowledgements with message id 1.";
            GmAckSourcePort => "gm_ack_source_port", "GDOI-ACK-016",
                "Sends acknowledgements from another port than the PUSH went to.";
            GmAckLate => "gm_ack_late", "GDOI-ACK-021",
                "Acknowledges eight seconds late.";
        }
    };
}

macro_rules! gdoi_variants {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            KsNonceLong => "ks_nonce_long", "GDOI-PL-072",
                "Sends nonces of 64 octets.";
            KsM2OnDemandOnly => "ks_m2_on_demand_only", "GDOI-PULL-066",
                "Repeats M2 only for a repeated M1, not on a timer.";
            KsM4SentOnce => "ks_m4_sent_once", "GDOI-PULL-045",
                "Stays silent on a repeated M3.";
            KsNotifiesUnknownGroup => "ks_notifies_unknown_group", "GDOI-NEG-013",
                "Answers an unknown group with INVALID-ID-INFORMATION.";
            KsNotifiesUnauthorized => "ks_notifies_unauthorized", "GDOI-NEG-014",
                "Answers an unauthorized member with AUTHENTICATION-FAILED.";
            KsNotifiesBadHash => "ks_notifies_bad_hash", "GDOI-PULL-031",
                "Answers a wrong HASH(3) with INVALID-HASH-INFORMATION.";
            KsPullNewestOnly => "ks_pull_newest_only", "REG-001",
                "Announces only the newest TEK of each policy in a registration.";
            KsSigHashOmitted => "ks_sig_hash_omitted", "GDOI-PL-036",
                "Leaves SIG_HASH_ALGORITHM out when ECDSA implies it.";
            KsAttributesReversed => "ks_attributes_reversed", "GDOI-PL-030",
                "Sends the KEK attributes in reversed order.";
            KsLifeDurationBasic => "ks_life_duration_basic", "GDOI-PL-049",
                "Sends SA Life Duration as a basic attribute when it fits.";
            KsDefaultsExplicit => "ks_defaults_explicit", "GDOI-PL-051",
                "Sends Address Preservation and SA Direction also when they are the default.";
            KsKekPacketLast => "ks_kek_packet_last", "GDOI-PULL-054",
                "Sends the KEK packet behind the TEK packets.";
            KsTekPacketsReversed => "ks_tek_packets_reversed", "GDOI-PULL-054",
                "Sends the key packets in reversed order.";
            KsPushRepeatsPolicy => "ks_push_repeats_policy", "GDOI-PUSH-048",
                "Repeats the TEKs that live on in every TEK rekey.";
            KsRekeysTogether => "ks_rekeys_together", "GDOI-PUSH-023",
                "Delivers new TEKs in the PUSH that delivers a new KEK.";
            KsRekeysEarlier => "ks_rekeys_earlier", "GDOI-PUSH-034",
                "Replaces TEKs when a quarter of their life is left.";
            KsDeleteNamesSpis => "ks_delete_names_spis", "GDOI-PUSH-050",
                "Deletes by listing SPIs instead of the SPI that means all.";
            GmNonceLong => "gm_nonce_long", "GDOI-PL-072",
                "Sends nonces of 64 octets.";
            GmAsksForOneSenderId => "gm_asks_for_one_sender_id", "GDOI-SID-002",
                "Asks for one sender id where it could ask for none.";
            GmFreshPhase1 => "gm_fresh_phase1", "GDOI-P1-009",
                "Makes a new phase 1 SA for every registration.";
            GmClosesPhase1 => "gm_closes_phase1", "GDOI-P1-009",
                "Deletes the phase 1 SA after a registration.";
            GmNotifiesRefusal => "gm_notifies_refusal", "GDOI-PULL-051",
                "Sends NO-PROPOSAL-CHOSEN before the Delete that refuses a policy.";
            GmReregistersEarlier => "gm_reregisters_earlier", "GDOI-PUSH-057",
                "Registers again half as much earlier.";
            GmAcksRepeats => "gm_acks_repeats", "GDOI-NEG-142",
                "Acknowledges the first copy of the latest PUSH once more.";
            GmAckJitter => "gm_ack_jitter", "GDOI-ACK-022",
                "Delays acknowledgements by up to four seconds.";
        }
    };
}
