use super::*;
use crate::state::{State, StateSet};
use proptest::prelude::*;

#[test]
fn the_numbers_are_those_of_lxc() {
    assert_eq!(Command::ALL.len(), 27);
    for (number, command) in (0..).zip(Command::ALL) {
        assert_eq!(command.number(), number);
        assert_eq!(Command::from_number(number), Some(*command));
    }
    assert_eq!(Command::from_number(27), None);
    assert_eq!(Command::from_number(-1), None);
}

#[test]
fn a_wanted_tty_of_minus_one_fills_the_whole_word() {
    let bytes = Request::number(Command::GetTtyFd, -1).encode();
    assert_eq!(bytes[8..], [0xff; 8]);
    assert_eq!(Request::decode(&bytes).unwrap().data, -1);
}

#[test]
fn texts_need_exactly_one_nul_at_the_end() {
    assert_eq!(decode_text(b"lxc.arch\0"), Ok("lxc.arch"));
    for wrong in [&b""[..], b"x", b"x\0y\0", b"\xff\0"] {
        assert_eq!(decode_text(wrong), Err(Malformed::Text));
    }
}

#[test]
fn device_rules_with_strange_letters_are_refused() {
    let rule = DeviceRule {
        kind: b'c',
        major: 1,
        minor: -1,
        access: *b"rwm\0",
        allow: 1,
    };
    assert_eq!(DeviceRule::decode(&rule.encode()), Ok(rule));
    for (at, byte) in [(0, b'x'), (12, b'x'), (15, b'r')] {
        let mut bytes = rule.encode();
        bytes[at] = byte;
        assert!(DeviceRule::decode(&bytes).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode_text(&bytes);
        let _ = StateWish::decode(&bytes);
        let _ = ConsoleLogRequest::decode(&bytes);
        let _ = DeviceRule::decode(&bytes);
        let _ = CgroupCtx::decode(&bytes);
        let _ = CgroupFd::decode(&bytes);
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn any_payload_of_the_right_size_decodes_without_panic(bytes in any::<[u8; 32]>(), big in prop::collection::vec(any::<u8>(), MESSAGE)) {
        let _ = StateWish::decode(&bytes);
        let _ = ConsoleLogRequest::decode(&bytes[..24]);
        let _ = DeviceRule::decode(&big[..40]);
        let _ = CgroupCtx::decode(&big[..96]);
        let _ = CgroupFd::decode(&big[..80]);
        let _ = Message::decode(&big);
    }

    #[test]
    fn headers_survive_the_way_or_are_refused(header in any::<[u8; HEADER]>()) {
        if let Ok(request) = Request::decode(&header) {
            prop_assert!(request.datalen <= MAX_PAYLOAD);
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        if let Ok(response) = Response::decode(Command::GetState, &header) {
            prop_assert!(response.datalen <= MAX_PAYLOAD);
            prop_assert_eq!(Response::decode(Command::GetState, &response.encode()), Ok(response));
        }
    }

    #[test]
    fn wishes_survive_the_way(mask in any::<u8>(), over_reboot in any::<bool>()) {
        let states = State::ALL.into_iter().filter(|s| mask & (1 << *s as u8) != 0).collect::<StateSet>();
        let wish = StateWish { states, over_reboot: over_reboot && states.contains(State::Running) };
        prop_assert_eq!(StateWish::decode(&wish.encode()), Ok(wish));
    }

    #[test]
    fn messages_survive_the_way(name in "[a-z0-9]{0,255}", state in 0i32..8, status in any::<i32>()) {
        let event = if status % 2 == 0 { Event::ExitCode(status) } else { Event::State(State::from_number(state).unwrap()) };
        let message = Message { name, event };
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn controllers_survive_the_way(controller in "[a-z=]{1,63}", fs_type in any::<u32>()) {
        let cgroup = CgroupFd { controller, fs_type, utilities: 3, layout: CgroupLayout::Hybrid };
        prop_assert_eq!(CgroupFd::decode(&cgroup.encode()), Ok(cgroup));
    }
}
