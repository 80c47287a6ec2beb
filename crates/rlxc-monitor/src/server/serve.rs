//! One request: checked, put to the handler, and its answer made.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::errno::Errno;

use super::connection::{After, Incoming, Reply, Served};
use super::{Answer, Completion, Handler, Token};
use crate::State;
use crate::protocol::{
    CgroupCtx, CgroupFd, Command, ConsoleLogRequest, DeviceRule, MAX_CGROUP_FDS, Response,
    STOP_AND_TIDY, StateWish, decode_text, encode_text,
};

fn number(answer: Answer<i32>) -> Answer<Served> {
    answer.map(|number| Served::send(Response::number(number)))
}

fn done(answer: Answer<()>) -> Answer<Served> {
    number(answer.map(|()| 0))
}

fn fd(answer: Answer<OwnedFd>) -> Answer<Served> {
    answer.map(|fd| Served::with_fds(Response::number(0), Vec::new(), vec![fd], After::Close))
}

/// Has a request answered.
pub(super) fn answer(
    incoming: &Incoming,
    state: State,
    token: Token,
    handler: &mut dyn Handler,
) -> Served {
    serve(incoming, state, token, handler)
        .unwrap_or_else(|errno| Served::send(Response::error(errno)))
}

fn serve(
    incoming: &Incoming,
    state: State,
    token: Token,
    handler: &mut dyn Handler,
) -> Answer<Served> {
    let Incoming {
        request, payload, ..
    } = incoming;
    let command = Command::from_number(request.command).ok_or(Errno::ENOSYS)?;
    match command {
        Command::GetTtyFd => Ok(give_tty(handler, request.data)),
        Command::TerminalWinch => {
            handler.window_changed();
            Ok(Served::silent())
        }
        Command::Stop => {
            handler.stop()?;
            // Only who may do what the monitor may is asked to finish its work.
            let able = incoming.own && request.data == STOP_AND_TIDY;
            let tidy = able.then(|| handler.to_tidy());
            Ok(match tidy.flatten() {
                Some(tidy) => hand_over(&tidy.dirs, tidy.monitor),
                None => Served::of(Reply::Silent(After::HoldStop)),
            })
        }
        Command::GetState => number(Ok(state.number())),
        Command::GetInitPid => number(handler.init_pid()),
        Command::GetCloneFlags => number(handler.clone_flags().map(|flags| flags as i32)),
        Command::GetCgroup => {
            let path = handler.cgroup(controller(payload)?);
            Ok(Served::text_or_hang_up(path))
        }
        Command::GetLimitCgroup => {
            let path = handler.limit_cgroup(controller(payload)?);
            Ok(Served::text_or_hang_up(path))
        }
        Command::GetConfigItem => {
            let value = handler.config_item(text(payload)?);
            match value.filter(|value| !value.is_empty()) {
                Some(value) => Ok(Served::payload(encode_text(&value))),
                None => Err(Errno::EPERM), // −1 on the wire
            }
        }
        Command::GetName => Ok(Served::payload(encode_text(handler.name()))),
        Command::GetLxcpath => {
            let path = handler.lxcpath().to_string_lossy();
            Ok(Served::payload(encode_text(&path)))
        }
        Command::AddStateClient => {
            let wish = StateWish::decode(payload).map_err(|_| Errno::EINVAL)?;
            Ok(add_state_client(wish, state))
        }
        Command::ConsoleLog => {
            let request = ConsoleLogRequest::decode(payload).map_err(|_| Errno::EINVAL)?;
            handler.console_log(request).map(Served::payload)
        }
        Command::ServeStateClients => {
            let reached = State::from_number(request.data).ok_or(Errno::EINVAL)?;
            let mut served = Served::send(Response::number(0));
            served.announce = Some(reached);
            Ok(served)
        }
        Command::SeccompNotifyAddListener => {
            let listener = incoming.listener.as_ref().ok_or(Errno::EINVAL)?;
            let listener = listener.try_clone().map_err(|_| Errno::EMFILE)?;
            done(handler.seccomp_listener(listener))
        }
        Command::AddBpfDeviceCgroup => {
            let rule = DeviceRule::decode(payload).map_err(|_| Errno::EINVAL)?;
            done(handler.add_device_rule(rule))
        }
        Command::Freeze => completed(handler.freeze(token, request.data)?),
        Command::Unfreeze => completed(handler.unfreeze(token, request.data)?),
        Command::GetCgroup2Fd => fd(handler.cgroup2_fd(false)),
        Command::GetLimitCgroup2Fd => fd(handler.cgroup2_fd(true)),
        Command::GetInitPidfd => fd(handler.init_pidfd()),
        Command::GetDevptsFd => fd(handler.devpts_fd()),
        Command::GetSeccompNotifyFd => fd(handler.seccomp_notify_fd()),
        Command::GetCgroupCtx => cgroup_ctx(payload, handler),
        Command::GetCgroupFd => cgroup_fd(payload, false, handler),
        Command::GetLimitCgroupFd => cgroup_fd(payload, true, handler),
        Command::GetSystemdScope => {
            let scope = handler.systemd_scope().ok_or(Errno::EINVAL)?;
            Ok(Served::payload(encode_text(&scope)))
        }
    }
}

fn hand_over(dirs: &[PathBuf], monitor: OwnedFd) -> Served {
    use std::os::unix::ffi::OsStrExt;
    let dirs: Vec<&[u8]> = dirs.iter().map(|dir| dir.as_os_str().as_bytes()).collect();
    let payload = dirs.join(&b'\n');
    let response = Response::payload(payload.len());
    Served::with_fds(response, payload, vec![monitor], After::HoldTidy)
}

fn text(payload: &[u8]) -> Answer<&str> {
    decode_text(payload).map_err(|_| Errno::EINVAL)
}

fn controller(payload: &[u8]) -> Answer<Option<&str>> {
    match payload.is_empty() {
        true => Ok(None),
        false => text(payload).map(Some),
    }
}

fn completed(completion: Completion) -> Answer<Served> {
    match completion {
        Completion::Now => done(Ok(())),
        Completion::Later => Ok(Served::of(Reply::Later)),
    }
}

fn give_tty(handler: &mut dyn Handler, wanted: i32) -> Served {
    match handler.tty(wanted) {
        Ok(grant) => Served::with_fds(
            Response::number(grant.number),
            Vec::new(),
            vec![grant.ptx],
            After::HoldTty(grant.number),
        ),
        Err(_) => Served::send(Response::error(Errno::EBADF)),
    }
}

fn add_state_client(wish: StateWish, state: State) -> Served {
    // Who waits for the next RUNNING, over a reboot, does not mean the present one.
    let reached = wish.states.contains(state) && !(wish.over_reboot && state == State::Running);
    match reached {
        true => Served::send(Response::number(state.number())),
        false => Served::with_fds(
            Response::number(State::COUNT as i32),
            Vec::new(),
            Vec::new(),
            After::StateClient(wish),
        ),
    }
}

fn cgroup_ctx(payload: &[u8], handler: &mut dyn Handler) -> Answer<Served> {
    if payload.len() != CgroupCtx::SIZE {
        return Err(Errno::EINVAL);
    }
    let (mut ctx, fds) = handler.cgroup_ctx()?;
    if fds.is_empty() || fds.len() > MAX_CGROUP_FDS {
        return Err(Errno::ENOENT);
    }
    ctx.fd_len = fds.len() as u32;
    let bytes = ctx.encode().to_vec();
    Ok(Served::with_fds(
        Response::payload(bytes.len()),
        bytes,
        fds,
        After::Close,
    ))
}

fn cgroup_fd(payload: &[u8], limit: bool, handler: &mut dyn Handler) -> Answer<Served> {
    let wanted = CgroupFd::decode(payload).map_err(|_| Errno::EINVAL)?;
    let (found, fd) = handler.cgroup_fd(&wanted.controller, limit)?;
    let bytes = found.encode().to_vec();
    Ok(Served::with_fds(
        Response::payload(bytes.len()),
        bytes,
        vec![fd],
        After::Close,
    ))
}
