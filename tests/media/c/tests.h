/* Every test of the harness. Add a line here and main.c and pytest know it. */
#ifndef TESTS_H
#define TESTS_H

#include "stage.h"

#define TESTS(X) \
    X(test_events_pass_with_their_type_translated) \
    X(test_audio_beside_an_event_keeps_its_clock) \
    X(test_an_event_whose_end_is_lost) \
    X(test_events_that_the_other_side_does_not_take) \
    X(test_events_in_a_stream_that_is_cut) \
    X(test_comfort_noise) \
    X(test_echo_keeps_events_and_noise) \
    X(test_each_kind_of_rubbish_has_its_name) \
    X(test_a_leg_without_a_plan) \
    X(test_extension_csrc_and_padding_are_taken_off) \
    X(test_a_leg_that_knows_nowhere_to_send) \
    X(test_modes_that_are_not_built_cannot_be_set) \
    X(test_a_stranger_never_latches) \
    X(test_the_sdp_address_beats_another_port_of_its_ip) \
    X(test_takeover_needs_silence_and_persistence) \
    X(test_a_lucky_first_packet_holds_nothing) \
    X(test_who_was_silent_has_its_place_back_once) \
    X(test_a_new_remote_arms_the_latch_again) \
    X(test_a_wrong_payload_type_does_not_latch) \
    X(test_mapped_and_plain_ipv4_are_one) \
    X(test_relay_keeps_one_line) \
    X(test_hold_leaves_no_hole) \
    X(test_a_repeated_plan_changes_nothing) \
    X(test_the_true_picture_of_loss_and_disorder) \
    X(test_a_clock_that_is_set_does_not_reach_the_other_side) \
    X(test_stragglers_of_an_old_source_stay_out) \
    X(test_packets_from_before_the_anchor_stay_out) \
    X(test_echo) \
    X(test_a_source_that_restarts_with_its_old_name) \
    X(test_a_peer_that_is_gone) \
    X(test_g711_known_values) \
    X(test_g711_is_as_defined) \
    X(test_g711_conversion_goes_through_the_value) \
    X(test_heap_against_a_plain_search) \
    X(test_byte_ring_between_threads) \
    X(test_rings_are_bounded) \
    X(test_bans_against_a_plain_set) \
    X(test_the_ban_table_is_bounded) \
    X(test_buckets) \
    X(test_invented_sources_find_an_end) \
    X(test_trust_counts_in_its_family) \
    X(test_every_pair_of_packet_times) \
    X(test_rough_input) \
    X(test_the_tail_of_a_talkspurt) \
    X(test_one_odd_packet_is_passed_as_it_is) \
    X(test_a_packet_longer_than_the_buffer) \
    X(test_hold_forgets_what_waits) \
    X(test_repacking_converts) \
    X(test_reports_every_five_seconds) \
    X(test_muxed_reports_share_the_port) \
    X(test_round_trip_and_what_the_far_end_reports) \
    X(test_malformed_reports) \
    X(test_a_report_of_another_source_is_not_answered) \
    X(test_silence_is_told_once_and_not_on_hold) \
    X(test_loss_over_the_wrap) \
    X(test_jitter_as_in_rfc_3550) \
    X(test_a_room_mixes_all_but_oneself) \
    X(test_masks_of_a_room) \
    X(test_a_room_of_two_passes_samples_untouched) \
    X(test_a_member_is_sent_a_continuous_line) \
    X(test_the_line_goes_on_from_relay_to_room_and_back) \
    X(test_hold_in_a_room) \
    X(test_a_room_that_was_late) \
    X(test_rooms_tick_at_moments_of_their_own) \
    X(test_only_who_speaks_is_mixed_in_a_gated_room) \
    X(test_the_sum_is_limited_softly) \
    X(test_a_leg_that_is_closed_in_a_room) \
    X(test_moving_from_room_to_room) \
    X(test_jitter_of_another_clock) \
    X(test_opus_is_relayed_as_it_comes) \
    X(test_samples_of_two_octets_are_relayed_as_they_come) \
    X(test_g722_is_cut_to_the_packet_time) \
    X(test_reports_count_in_the_codecs_clock) \
    X(test_a_line_goes_on_when_the_codec_changes) \
    X(test_digits_last_as_long_by_any_clock) \
    X(test_two_codecs_are_not_relayed) \
    X(test_every_codec_has_its_place) \
    X(test_each_codec_takes_every_packet_time) \
    X(test_payloads_of_the_wrong_size) \
    X(test_g711_as_a_codec) \
    X(test_l16_is_the_sound_itself) \
    X(test_g722_against_the_vectors) \
    X(test_g722_in_pieces_is_the_same) \
    X(test_g722_of_rubbish) \
    X(test_opus_is_heard) \
    X(test_opus_says_nothing_in_silence) \
    X(test_opus_finds_what_was_lost_in_the_next_packet) \
    X(test_opus_of_another_clock_and_two_channels) \
    X(test_opus_of_rubbish) \
    X(test_a_tone_survives_the_other_rate) \
    X(test_what_has_no_place_at_8_khz_goes) \
    X(test_resampling_in_pieces_is_the_same) \
    X(test_the_loudest_sound_is_resampled_without_a_wrap)

#define X(name) void name(void);
TESTS(X)
#undef X

#endif
