//! Defects and variants of phase 1, and of the exchanges that belong to it.

macro_rules! ike_defects {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            IkeLengthNotChecked => "ike_length_not_checked", "IKE-HDR-001",
                "Serves a message whose header Length differs from the datagram.";
            IkeAnswersShortDatagrams => "ike_answers_short_datagrams", "IKE-HDR-002",
                "Answers a datagram shorter than an ISAKMP header with a notify.";
            IkeEmitsMinorVersion => "ike_emits_minor_version", "IKE-HDR-003",
                "Writes version 1.1 into its own headers.";
            IkeAcceptsMajorVersion => "ike_accepts_major_version", "IKE-HDR-004",
                "Serves a phase 1 message of major version 2.";
            IkeAcceptsMinorVersion => "ike_accepts_minor_version", "IKE-HDR-005",
                "Serves a phase 1 message of version 1.1.";
            IkeServesUnknownExchange => "ike_serves_unknown_exchange", "IKE-HDR-006",
                "Serves a first message of an unserved exchange type as Main Mode.";
            IkeAcceptsReservedFlags => "ike_accepts_reserved_flags", "IKE-HDR-007",
                "Serves a message with reserved flag bits set.";
            IkeEmitsReservedFlags => "ike_emits_reserved_flags", "IKE-HDR-007",
                "Sets a reserved flag bit in its own messages.";
            IkeAcceptsPhase1MessageId => "ike_accepts_phase1_message_id", "IKE-HDR-008",
                "Serves a phase 1 message with a non-zero message ID.";
            IkeEncryptionFlagIgnored => "ike_encryption_flag_ignored", "IKE-HDR-009",
                "Reads messages 1 and 3 as clear although the encryption flag is set.";
            IkeAcceptsClearAuthentication => "ike_accepts_clear_authentication", "IKE-HDR-010",
                "Serves messages 5 and 6 of Main Mode sent in clear.";
            IkeFirstPayloadIgnored => "ike_first_payload_ignored", "IKE-HDR-011",
                "Reads the first payload of message 1 as an SA whatever the header announces.";
            IkeSwapsCookies => "ike_swaps_cookies", "IKE-HDR-012",
                "Swaps the cookies in Informational messages that the responder starts.";
            IkeRepliesTo848 => "ike_replies_to_848", "IKE-HDR-013",
                "Answers to port 848 whatever port the request came from.";
            IkeCommitStalls => "ike_commit_stalls", "IKE-HDR-015",
                "Stops an exchange whose peer sets the commit flag, to wait for CONNECTED.";
            IkeEmitsCommit => "ike_emits_commit", "IKE-HDR-015",
                "Sets the commit flag in its protected Informational messages.";
            IkeLengthWithoutPadding => "ike_length_without_padding", "IKE-HDR-016",
                "Leaves the cipher padding out of the header Length.";
            IkePartialBlockKills => "ike_partial_block_kills", "IKE-HDR-017",
                "Gives an exchange up when a ciphertext is no multiple of the block.";
            IkePayloadLengthClamped => "ike_payload_length_clamped", "IKE-PAY-001",
                "Cuts a payload length that runs past the message instead of refusing it.";
            IkeDeafAfterZeroLength => "ike_deaf_after_zero_length", "IKE-PAY-001",
                "Hangs for good on a payload of length 0.";
            IkeEmitsReservedPayloadOctet => "ike_emits_reserved_payload_octet", "IKE-PAY-002",
                "Writes a non-zero RESERVED octet into its nonce payloads.";
            IkeAcceptsReservedNonzero => "ike_accepts_reserved_nonzero", "IKE-PAY-003",
                "Serves payloads whose RESERVED octet is not zero.";
            IkeAcceptsDanglingNext => "ike_accepts_dangling_next", "IKE-PAY-004",
                "Serves a message whose last payload announces one that is missing.";
            IkeAcceptsReservedPayloads => "ike_accepts_reserved_payloads", "IKE-PAY-005",
                "Skips payloads of the reserved types 23 to 127.";
            IkePayloadOrderMatters => "ike_payload_order_matters", "IKE-PAY-007",
                "Refuses messages 3 to 6 whose payloads are not in the usual order.";
            IkeSaNotFirst => "ike_sa_not_first", "IKE-PAY-008",
                "Puts a vendor ID before the SA payload of messages 1 and 2.";
            IkeExtraPaddingRefused => "ike_extra_padding_refused", "IKE-PAY-009",
                "Refuses an encrypted message with more padding than needed.";
            IkeCertreqRefused => "ike_certreq_refused", "IKE-PAY-010",
                "Refuses messages 1 and 3 that carry a certificate request.";
            IkeUnknownVendorIdRefused => "ike_unknown_vendor_id_refused", "IKE-PAY-011",
                "Refuses message 1 when it carries an unknown vendor ID.";
            IkeDuplicatePayloadAccepted => "ike_duplicate_payload_accepted", "IKE-PAY-012",
                "Takes the first of two KE, nonce, ID or HASH payloads.";
            IkeMissingPayloadKills => "ike_missing_payload_kills", "IKE-PAY-014",
                "Gives an exchange up when a message lacks a payload.";
            IkeAcceptsTwoProposals => "ike_accepts_two_proposals", "IKE-SA-001",
                "Takes the first of two proposals in phase 1.";
            IkeAnswersEveryTransform => "ike_answers_every_transform", "IKE-SA-002",
                "Returns the whole offer instead of the one transform it chose.";
            IkeAltersLifetime => "ike_alters_lifetime", "IKE-SA-003",
                "Returns its own lifetime in place of the offered one.";
            IkeRenumbersTransform => "ike_renumbers_transform", "IKE-SA-004",
                "Returns transform number 1 whatever the chosen one was.";
            IkeEqualTransformNumbers => "ike_equal_transform_numbers", "IKE-SA-005",
                "Numbers every offered transform 1.";
            IkeUnknownTransformIdFatal => "ike_unknown_transform_id_fatal", "IKE-SA-006",
                "Refuses an offer because one transform has an unknown identifier.";
            IkeAcceptsAnyProtocol => "ike_accepts_any_protocol", "IKE-SA-007",
                "Serves a phase 1 proposal for a protocol other than ISAKMP.";
            IkeRefusesProposalSpi => "ike_refuses_proposal_spi", "IKE-SA-008",
                "Refuses a phase 1 proposal that carries an SPI.";
            IkeTransformCountIgnored => "ike_transform_count_ignored", "IKE-SA-009",
                "Ignores the number of transforms that a proposal declares.";
            IkeAcceptsAnyDoi => "ike_accepts_any_doi", "IKE-SA-010",
                "Serves a phase 1 SA of any DOI.";
            IkeEmitsDoi1 => "ike_emits_doi_1", "IKE-SA-011",
                "Offers phase 1 under the IPsec DOI.";
            IkeEmitsSituation1 => "ike_emits_situation_1", "IKE-SA-012",
                "Writes situation 1 under the GDOI DOI.";
            IkeAcceptsAnySituation => "ike_accepts_any_situation", "IKE-SA-013",
                "Serves a phase 1 SA with a non-zero situation.";
            IkeMissingAttributeDefaulted => "ike_missing_attribute_defaulted", "IKE-SA-015",
                "Fills in a missing hash, group or method of a transform from its own policy.";
            IkeBasicAttributeAsTlv => "ike_basic_attribute_as_tlv", "IKE-SA-016",
                "Sends the encryption algorithm as a variable-length attribute.";
            IkeVariableAsTvRefused => "ike_variable_as_tv_refused", "IKE-SA-017",
                "Refuses a transform whose life duration is sent in the short form.";
            IkeReencodedAnswerRefused => "ike_reencoded_answer_refused", "IKE-SA-018",
                "Refuses an answer that encodes the same life duration in another form.";
            IkeOmitsKeyLength => "ike_omits_key_length", "IKE-SA-019",
                "Offers AES without a key length.";
            IkeAcceptsAnyKeyLength => "ike_accepts_any_key_length", "IKE-SA-019",
                "Reads a strange AES key length as its own.";
            IkeKeyLengthForFixedCipher => "ike_key_length_for_fixed_cipher", "IKE-SA-020",
                "Adds a key length to DES and 3DES offers.";
            IkeUnknownAttributeFatal => "ike_unknown_attribute_fatal", "IKE-SA-023",
                "Refuses an offer because one transform has an unknown attribute.";
            IkeDuplicateAttributeAccepted => "ike_duplicate_attribute_accepted", "IKE-SA-025",
                "Takes the first of two contradicting attributes.";
            IkeAnswerUnverified => "ike_answer_unverified", "IKE-SA-028",
                "Continues with whatever transform the responder returns.";
            IkeTwoTransformsAccepted => "ike_two_transforms_accepted", "IKE-SA-029",
                "Takes the first transform of an answer that holds several.";
            IkeCookieConstant => "ike_cookie_constant", "IKE-CKY-006",
                "Uses one cookie for every exchange with a peer.";
            IkeCookieCounter => "ike_cookie_counter", "IKE-CKY-007",
                "Counts its cookies up.";
            IkeZeroCookieAccepted => "ike_zero_cookie_accepted", "IKE-CKY-003",
                "Serves a first message with a zero initiator cookie.";
            IkeForeignResponderCookieAccepted => "ike_foreign_responder_cookie_accepted", "IKE-CKY-004",
                "Serves a first message that already carries a responder cookie.";
            IkeResponderCookieNotPinned => "ike_responder_cookie_not_pinned", "IKE-CKY-008",
                "Takes message 4 with another responder cookie than message 2.";
            IkeNewCookiePerCopy => "ike_new_cookie_per_copy", "IKE-CKY-009",
                "Starts a new exchange for every copy of message 1.";
            IkeShortNonceAccepted => "ike_short_nonce_accepted", "IKE-MM-007",
                "Takes a nonce of any length.";
            IkeEmitsShortNonce => "ike_emits_short_nonce", "IKE-MM-007",
                "Sends nonces of four octets.";
            IkeKeLengthNotChecked => "ike_ke_length_not_checked", "IKE-MM-009",
                "Pads or cuts a KE of the wrong length.";
            IkeAcceptsModpOne => "ike_accepts_modp_one", "IKE-MM-010",
                "Takes the public values 0, 1 and p-1.";
            IkeAcceptsBadPoint => "ike_accepts_bad_point", "IKE-MM-011",
                "Goes on although the peer's elliptic curve point is not on the curve.";
            IkeExchangeSwitchAccepted => "ike_exchange_switch_accepted", "IKE-MM-012",
                "Goes on with message 3 of another exchange type.";
            IkeOutOfOrderKills => "ike_out_of_order_kills", "IKE-MM-013",
                "Gives an exchange up when message 5 comes before message 3, or 6 before 4.";
            IkeNonceReused => "ike_nonce_reused", "IKE-MM-016",
                "Uses one nonce for every exchange.";
            IkeDhValueReused => "ike_dh_value_reused", "IKE-MM-016",
                "Uses one DH key for every exchange.";
            IkeMissingIdAccepted => "ike_missing_id_accepted", "IKE-MM-017",
                "Takes an authentication message without an ID.";
            IkeIdPortNotChecked => "ike_id_port_not_checked", "IKE-MM-018",
                "Takes any protocol and port in an ID.";
            IkeEmitsIdPort => "ike_emits_id_port", "IKE-MM-018",
                "Sends its ID with protocol 6 and port 22.";
            IkeUnknownIdTypeAccepted => "ike_unknown_id_type_accepted", "IKE-MM-020",
                "Takes an ID of an unknown type.";
            IkePskOfFirstPeer => "ike_psk_of_first_peer", "IKE-MM-021",
                "Uses the first configured key for every peer.";
            IkeIdentityNotAuthorized => "ike_identity_not_authorized", "IKE-MM-022",
                "Accepts any authenticated identity.";
            IkeReflectionAccepted => "ike_reflection_accepted", "IKE-MM-029",
                "Takes its own message 3 for the answer to it.";
            IkeZeroResponderCookieAccepted => "ike_zero_responder_cookie_accepted", "IKE-CKY-001",
                "Takes a message 2 without a responder cookie.";
            IkeLateAnswerAccepted => "ike_late_answer_accepted", "IKE-RTX-003",
                "Goes on with an exchange that it has given up when an answer comes.";
            IkeDuplicateAnswerKills => "ike_duplicate_answer_kills", "IKE-RTX-007",
                "Gives an exchange up when an answer comes twice.";
            IkeHashNotVerified => "ike_hash_not_verified", "IKE-MM-025",
                "Does not look at HASH_I or HASH_R.";
            IkeHashPrefixAccepted => "ike_hash_prefix_accepted", "IKE-MM-027",
                "Compares only as many HASH octets as were sent.";
            IkeReflectedHashAccepted => "ike_reflected_hash_accepted", "IKE-MM-028",
                "Takes its own HASH_I back as HASH_R.";
            IkeChainedNotifyAborts => "ike_chained_notify_aborts", "IKE-MM-034",
                "Gives an exchange up for an error notify beside a valid HASH.";
            IkeAnySourceAccepted => "ike_any_source_accepted", "IKE-MM-037",
                "Takes the answers of an exchange from any address.";
            IkeStripsSecretZeros => "ike_strips_secret_zeros", "IKE-KEY-004",
                "Strips the leading zero octets of the shared secret.";
            IkeIvNotChained => "ike_iv_not_chained", "IKE-KEY-008",
                "Encrypts message 6 with the first IV again.";
            IkeInformationalIvFromLast => "ike_informational_iv_from_last", "IKE-KEY-009",
                "Encrypts Informational messages with the last phase 1 block as IV.";
            IkeIvMovesWithInformational => "ike_iv_moves_with_informational", "IKE-KEY-010",
                "Moves the last phase 1 block with every Informational it receives.";
            IkeIvAdvancedByGarbage => "ike_iv_advanced_by_garbage", "IKE-MM-033",
                "Advances the IV on a message that does not parse.";
            IkePaddingRandom => "ike_padding_random", "IKE-KEY-011",
                "Pads with random octets.";
            IkePadsWholeBlock => "ike_pads_whole_block", "IKE-KEY-011",
                "Adds a whole block when nothing needs padding.";
            IkeSignsDigestInfo => "ike_signs_digest_info", "IKE-AUTH-001",
                "Wraps the signed HASH into a DigestInfo.";
            IkeDigestInfoAccepted => "ike_digest_info_accepted", "IKE-AUTH-002",
                "Verifies a signature over a DigestInfo as well.";
            IkeSignatureNotVerified => "ike_signature_not_verified", "IKE-AUTH-007",
                "Does not look at the signature.";
            IkeChainNotValidated => "ike_chain_not_validated", "IKE-AUTH-008",
                "Takes a certificate of any issuer.";
            IkeCertificateIdentityNotChecked => "ike_certificate_identity_not_checked", "IKE-AUTH-009",
                "Does not compare the ID with the certificate.";
            IkeCertificateNeverSent => "ike_certificate_never_sent", "IKE-AUTH-012",
                "Sends no certificate although one is requested.";
            IkeEmptyCertreqIgnored => "ike_empty_certreq_ignored", "IKE-AUTH-013",
                "Sends no certificate when the request names no authority.";
            IkeUnknownCertreqFatal => "ike_unknown_certreq_fatal", "IKE-AUTH-014",
                "Refuses a message with a certificate request of an unknown type.";
            IkeCertreqNeverSent => "ike_certreq_never_sent", "IKE-AUTH-015",
                "Requests no certificate.";
            IkeAggressiveAlwaysServed => "ike_aggressive_always_served", "IKE-AM-008",
                "Serves Aggressive Mode although it is switched off.";
            IkeAggressiveClearRefused => "ike_aggressive_clear_refused", "IKE-AM-004",
                "Refuses message 3 of Aggressive Mode in clear.";
            IkeClearInformational => "ike_clear_informational", "IKE-INF-002",
                "Sends its Informational messages in clear although an SA exists.";
            IkeInformationalHashNotVerified => "ike_informational_hash_not_verified", "IKE-INF-003",
                "Does not look at HASH(1) of Informational messages.";
            IkeInformationalMidConstant => "ike_informational_mid_constant", "IKE-INF-004",
                "Uses one message ID for all its Informational messages.";
            IkeAnswersInformational => "ike_answers_informational", "IKE-INF-005",
                "Answers an Informational message that it refuses.";
            IkeClearNotifyAborts => "ike_clear_notify_aborts", "IKE-INF-006",
                "Gives an exchange or an SA up for a clear error notify.";
            IkeDeleteIgnored => "ike_delete_ignored", "IKE-INF-008",
                "Goes on using an SA that the peer deleted.";
            IkeClearDeleteAccepted => "ike_clear_delete_accepted", "IKE-INF-009",
                "Obeys a Delete in clear.";
            IkeForeignDeleteAccepted => "ike_foreign_delete_accepted", "IKE-INF-011",
                "Lets one peer delete the SA of another.";
            IkeInitialContactWithoutSpi => "ike_initial_contact_without_spi", "IKE-INF-014",
                "Sends INITIAL-CONTACT without the cookies.";
            IkeInitialContactByAddress => "ike_initial_contact_by_address", "IKE-INF-015",
                "Lets INITIAL-CONTACT remove every SA of an address.";
            IkeInitialContactEarly => "ike_initial_contact_early", "IKE-INF-016",
                "Obeys INITIAL-CONTACT before the HASH is verified.";
            IkeInformationalReplayAccepted => "ike_informational_replay_accepted", "IKE-INF-018",
                "Serves the same protected Informational again.";
            IkeDpdNotAnswered => "ike_dpd_not_answered", "IKE-DPD-001",
                "Sends the DPD vendor ID and answers no R-U-THERE.";
            IkeDpdWrongSequence => "ike_dpd_wrong_sequence", "IKE-DPD-002",
                "Answers R-U-THERE with another sequence number.";
            IkeDpdAnyAck => "ike_dpd_any_ack", "IKE-DPD-003",
                "Takes an R-U-THERE-ACK of any sequence number.";
            IkeAnswersClearRut => "ike_answers_clear_rut", "IKE-DPD-004",
                "Answers an R-U-THERE in clear.";
            IkeDpdSequenceConstant => "ike_dpd_sequence_constant", "IKE-DPD-005",
                "Sends every R-U-THERE with one sequence number.";
            IkeDpdNeverDead => "ike_dpd_never_dead", "IKE-DPD-006",
                "Sends R-U-THERE for ever without giving the peer up.";
            IkeDpdOldSequenceAnswered => "ike_dpd_old_sequence_answered", "IKE-DPD-007",
                "Answers an R-U-THERE whose sequence number lies behind.";
            IkeDpdSpiNotChecked => "ike_dpd_spi_not_checked", "IKE-DPD-008",
                "Answers an R-U-THERE with foreign cookies.";
            IkeNoRetransmission => "ike_no_retransmission", "IKE-RTX-001",
                "Never repeats an unanswered message.";
            IkeRetransmitFixedInterval => "ike_retransmit_fixed_interval", "IKE-RTX-002",
                "Repeats at a fixed interval.";
            IkeRetransmitsForever => "ike_retransmits_forever", "IKE-RTX-003",
                "Never stops repeating.";
            IkeRetransmitChangesOctets => "ike_retransmit_changes_octets", "IKE-RTX-004",
                "Repeats a message with a vendor ID added.";
            IkeDuplicateReprocessed => "ike_duplicate_reprocessed", "IKE-RTX-005",
                "Serves a duplicate of message 3 as a new one.";
            IkeMessage6NotRepeated => "ike_message_6_not_repeated", "IKE-RTX-006",
                "Ignores a duplicate of message 5 once the SA is up.";
            IkeStaleDuplicateAnswered => "ike_stale_duplicate_answered", "IKE-RTX-008",
                "Answers a duplicate of message 1 after message 3.";
            IkeSecondMessage3Accepted => "ike_second_message_3_accepted", "IKE-RTX-009",
                "Takes another message 3 after one was accepted.";
            IkeInformationalRepeated => "ike_informational_repeated", "IKE-RTX-010",
                "Sends every Informational message twice.";
            IkeResponderResends => "ike_responder_resends", "IKE-RTX-011",
                "Repeats message 2 many times without being asked.";
            IkeLifetimeIgnored => "ike_lifetime_ignored", "IKE-LIFE-001",
                "Never expires an SA.";
            IkeLifetimeRequired => "ike_lifetime_required", "IKE-LIFE-003",
                "Refuses a transform without a lifetime.";
            IkeZeroLifetimeTaken => "ike_zero_lifetime_taken", "IKE-LIFE-004",
                "Takes a life duration of 0 literally.";
            IkeHalfOpenForever => "ike_half_open_forever", "IKE-LIFE-007",
                "Never forgets a half-open exchange.";
            IkeNatDWithoutVendorId => "ike_nat_d_without_vendor_id", "IKE-NAT-001",
                "Sends NAT-D to a peer that sent no NAT-T vendor ID.";
            IkeNatDReversed => "ike_nat_d_reversed", "IKE-NAT-002",
                "Sends its own address in the first NAT-D.";
            IkeNatDPort500 => "ike_nat_d_port_500", "IKE-NAT-003",
                "Hashes port 500 into NAT-D whatever ports are in use.";
            IkeOtherPortsRefused => "ike_other_ports_refused", "IKE-NAT-004",
                "Serves only peers whose source port is 848, 500 or 4500.";
            IkeFloatNotFollowed => "ike_float_not_followed", "IKE-NAT-006",
                "Goes on answering on the old port when the peer moves to 4500.";
            IkeMarkerMissing => "ike_marker_missing", "IKE-NAT-006",
                "Answers on port 4500 without the non-ESP marker.";
            IkeStalePortAnswered => "ike_stale_port_answered", "IKE-NAT-007",
                "Answers duplicates on the old port after the move.";
            IkeStartOn4500Refused => "ike_start_on_4500_refused", "IKE-NAT-008",
                "Serves no exchange that begins on port 4500.";
            IkeKeepaliveAnswered => "ike_keepalive_answered", "IKE-NAT-009",
                "Answers a NAT keepalive.";
            IkeEndpointMovedByAnyPacket => "ike_endpoint_moved_by_any_packet", "IKE-NAT-010",
                "Follows the source of unauthenticated packets.";
            IkeMissingMarkerAccepted => "ike_missing_marker_accepted", "IKE-NAT-012",
                "Reads a message without marker on port 4500.";
            IkeFragmentsWithoutVendorId => "ike_fragments_without_vendor_id", "IKE-FRAG-002",
                "Sends fragments to a peer that does not know them.";
            IkeFragmentOrderMatters => "ike_fragment_order_matters", "IKE-FRAG-003",
                "Loses fragments that come out of order.";
            IkeFragmentZeroAccepted => "ike_fragment_zero_accepted", "IKE-FRAG-004",
                "Takes a fragment that is followed by another payload.";
            IkeTwoLastFragmentsAccepted => "ike_two_last_fragments_accepted", "IKE-FRAG-005",
                "Goes on with a set that holds two last fragments.";
            IkeFragmentsKept => "ike_fragments_kept", "IKE-FRAG-008",
                "Never discards an incomplete set of fragments.";
            IkeFragmentInnerUnchecked => "ike_fragment_inner_unchecked", "IKE-FRAG-009",
                "Does not compare the reassembled header with the outer one.";
            IkeFragmentPoisons => "ike_fragment_poisons", "IKE-FRAG-011",
                "Refuses whole messages once a fragment was seen.";
            IkeHalfOpenNeverEvicted => "ike_half_open_never_evicted", "IKE-DOS-001",
                "Serves no one while the half-open table is full.";
            IkeAnswersSourcePortZero => "ike_answers_source_port_zero", "IKE-DOS-008",
                "Answers datagrams from source port 0.";
            IkeDeafAfterMalformed => "ike_deaf_after_malformed", "IKE-DOS-007",
                "Stops working after a malformed transform.";
            IkeAcceptsUnconfiguredSuite => "ike_accepts_unconfigured_suite", "IKE-SA-027",
                "Chooses any transform that it can read, configured or not.";
            IkeEcdsaNegotiatedHash => "ike_ecdsa_negotiated_hash", "IKE-AUTH-005",
                "Uses the negotiated hash in ECDSA signatures.";
            IkeEcpFormatOctet => "ike_ecp_format_octet", "IKE-KEY-013",
                "Sends elliptic curve points with a format octet.";
            IkeStripsPublicZeros => "ike_strips_public_zeros", "IKE-MM-008",
                "Sends a public value without its leading zero octets.";
            IkeExpandsWithSkeyidE => "ike_expands_with_skeyid_e", "IKE-KEY-006",
                "Counts SKEYID_e itself as the first part of a key that needs expansion.";
            IkeHashesOwnAnswer => "ike_hashes_own_answer", "IKE-MM-031",
                "Hashes its own answer in place of the offer.";
            IkeLaxSignaturePadding => "ike_lax_signature_padding", "IKE-AUTH-003",
                "Reads an RSA signature from the left and stops after the HASH.";
            IkeNotifiesUnlimited => "ike_notifies_unlimited", "IKE-INF-007",
                "Sends clear notifies as often as it is asked.";
            IkeServesPullEarly => "ike_serves_pull_early", "IKE-MM-035",
                "Serves later exchanges as soon as there are keys.";
            IkeOddNatDKills => "ike_odd_nat_d_kills", "IKE-NAT-011",
                "Stops working on a NAT-D of a wrong length.";
            IkeNestedFragmentsAccepted => "ike_nested_fragments_accepted", "IKE-FRAG-010",
                "Follows fragments inside of fragments.";
            IkeDeafAfterManyPayloads => "ike_deaf_after_many_payloads", "IKE-DOS-006",
                "Stops working after a message with more payloads than it looks at.";
            IkeAmplifies => "ike_amplifies", "IKE-DOS-013",
                "Answers message 1 with many times its octets.";
        }
    };
}

macro_rules! ike_variants {
    ($then:ident $($rest:ident)*; $($before:tt)*) => {
        $then! {
            $($rest)*; $($before)*
            IkeExtraVendorIds => "ike_extra_vendor_ids", "IKE-PAY-011",
                "Sends ten vendor IDs that no one knows.";
            IkeNoVendorIds => "ike_no_vendor_ids", "IKE-PAY-011",
                "Sends no vendor ID and uses no extension.";
            IkeNonceBeforeKe => "ike_nonce_before_ke", "IKE-PAY-007",
                "Puts the nonce before the KE in messages 3 and 4.";
            IkeHashBeforeId => "ike_hash_before_id", "IKE-PAY-007",
                "Puts the HASH before the ID in messages 5 and 6.";
            IkeLifetimeCompact => "ike_lifetime_compact", "IKE-SA-017",
                "Encodes life durations as short as they can be.";
            IkeLifetimeAbsent => "ike_lifetime_absent", "IKE-LIFE-003",
                "Offers no lifetime.";
            IkeAttributesReversed => "ike_attributes_reversed", "IKE-SA-003",
                "Offers the attributes of a transform in another order.";
            IkeTransformsFromZero => "ike_transforms_from_zero", "IKE-SA-004",
                "Numbers offered transforms from 0.";
            IkeOwnPreference => "ike_own_preference", "IKE-SA-002",
                "Chooses the transform that it prefers, not the first one offered that it accepts.";
            IkeInitialContactAbsent => "ike_initial_contact_absent", "IKE-INF-014",
                "Sends no INITIAL-CONTACT.";
            IkeNonce8 => "ike_nonce_8", "IKE-MM-007",
                "Sends nonces of 8 octets.";
            IkeNonce64 => "ike_nonce_64", "IKE-MM-007",
                "Sends nonces of 64 octets.";
            IkeIdPort500 => "ike_id_port_500", "IKE-MM-018",
                "Sends its ID with protocol 17 and port 500.";
            IkeSilentNoProposal => "ike_silent_no_proposal", "IKE-SA-027",
                "Refuses an unacceptable offer in silence.";
            IkeNotifiesErrors => "ike_notifies_errors", "IKE-INF-012",
                "Tells a peer in a clear notify why its first message was refused.";
            IkeClearNotifyMidZero => "ike_clear_notify_mid_zero", "IKE-INF-002",
                "Sends clear notifies with message ID 0.";
            IkePrivatePayloadRefused => "ike_private_payload_refused", "IKE-PAY-006",
                "Refuses messages with a private payload.";
            IkeClearTrailingRefused => "ike_clear_trailing_refused", "IKE-PAY-009",
                "Refuses octets after the last payload of a clear message.";
            IkeAuthOnlyTolerated => "ike_auth_only_tolerated", "IKE-HDR-007",
                "Ignores the authentication-only flag in phase 1.";
            IkeFragmentsAtOnce => "ike_fragments_at_once", "IKE-FRAG-001",
                "Fragments large messages on first transmission.";
            IkeSlowRetransmission => "ike_slow_retransmission", "IKE-RTX-002",
                "Repeats after 4 s, then 1.8 times later each time.";
            IkeResponderResendsTwice => "ike_responder_resends_twice", "IKE-RTX-011",
                "Repeats messages 2 and 4 at most twice without being asked.";
            IkeExpiresQuietly => "ike_expires_quietly", "IKE-LIFE-001",
                "Sends no Delete when an SA expires.";
            IkeResponderLifetime => "ike_responder_lifetime", "IKE-LIFE-002",
                "Tells a shorter lifetime in a RESPONDER-LIFETIME notify.";
        }
    };
}
