//! Against a real sshd.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sshd_tests::Sshd;
use super::*;
use crate::ErrorKind;

#[tokio::test]
async fn commands_run_and_their_words_are_left_alone() {
    let Some(sshd) = Sshd::start("commands_run_and_their_words_are_left_alone") else {
        return;
    };
    let link = sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
    assert!(link.is_root() && link.is_alive().await);
    let hostile = "a b'c\"$(exit 9);`exit 8`\\ *\n";
    let said = link.output("printf", &["%s", hostile], &[]).await.expect("run");
    assert_eq!((said.code, said.stdout.as_slice()), (0, hostile.as_bytes()));
    let big = vec![7_u8; 3 << 20];
    let said = link.output("cat", &[], &big).await.expect("run");
    assert!(said.stdout == big);
    let said = link
        .output("sh", &["-c", "echo no >&2; exit 3"], &[])
        .await
        .expect("run");
    assert_eq!((said.code, said.stderr.trim()), (3, "no"));
    assert_eq!(
        link.output("no-such-program", &[], &[])
            .await
            .expect("asked")
            .code,
        127
    );
    let said = link
        .output("sh", &["-c", "exit 255"], &[])
        .await
        .expect("the program's own code");
    assert_eq!(said.code, -1);
}

#[tokio::test]
async fn more_commands_than_the_server_takes_at_once_wait_for_room() {
    let Some(sshd) = Sshd::start("more_commands_than_the_server_takes_at_once_wait_for_room") else {
        return;
    };
    let link = sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
    // sshd takes ten.
    let words = ["-c", "sleep 0.2; echo done"];
    let all = (0..25).map(|_| link.output("sh", &words, &[]));
    for said in futures_util::future::join_all(all).await {
        let said = said.expect("run");
        assert_eq!(
            (said.code, said.stdout.as_slice()),
            (0, &b"done\n"[..]),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn keys_that_are_unknown_changed_or_wrong_are_refused_with_their_cure() {
    let Some(mut sshd) = Sshd::start("keys_that_are_unknown_changed_or_wrong_are_refused_with_their_cure")
    else {
        return;
    };
    let error = sshd.link("user", HostKeys::Known).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NoServer);
    assert!(error.to_string().contains("host key is not known"), "{error}");
    assert!(error.to_string().contains("--accept-new-host-key"), "{error}");
    sshd.link("user", HostKeys::AcceptNew).await.expect("taken");
    sshd.link("user", HostKeys::Known).await.expect("known now");
    let error = sshd
        .link("stranger", HostKeys::Known)
        .await
        .expect_err("not let in");
    assert!(error.to_string().contains("Permission denied"), "{error}");
    assert!(error.to_string().contains("authorized_keys"), "{error}");
    sshd.stop();
    let error = sshd
        .link("user", HostKeys::Known)
        .await
        .expect_err("nobody there");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    sshd.new_key("host");
    sshd.run();
    for keys in [HostKeys::Known, HostKeys::AcceptNew] {
        let error = sshd.link("user", keys).await.expect_err("changed").to_string();
        assert!(
            error.contains("has CHANGED") && error.contains("ssh-keygen -R"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn sockets_and_ports_lead_there_also_after_the_connection_was_lost() {
    let Some(mut sshd) = Sshd::start("sockets_and_ports_lead_there_also_after_the_connection_was_lost")
    else {
        return;
    };
    let link = sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
    let there = sshd.folder.path().join("echo.sock");
    let listener = tokio::net::UnixListener::bind(&there).expect("bind");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _told = stream.write_all(b"socket").await;
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _told = stream.write_all(b"port").await;
        }
    });
    let socket = link.socket(&there).await.expect("forwarded");
    let address = link.port(port).await.expect("forwarded");
    let both_answer = async || {
        let mut said = String::new();
        let mut stream = tokio::net::UnixStream::connect(&socket).await.expect("connected");
        stream.read_to_string(&mut said).await.expect("read");
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        stream.read_to_string(&mut said).await.expect("read");
        assert_eq!(said, "socketport");
    };
    both_answer().await;
    assert_eq!(link.socket(&there).await.expect("known"), socket);
    assert_eq!(link.port(port).await.expect("known"), address);
    sshd.stop();
    let error = link.output("true", &[], &[]).await.expect_err("gone");
    assert!(matches!(error, StackError::Dropped { .. }), "{error}");
    assert!(!link.is_alive().await);
    link.reconnect().await.expect_err("still gone");
    sshd.run();
    link.reconnect().await.expect("back");
    assert_eq!(link.output("true", &[], &[]).await.expect("run").code, 0);
    both_answer().await;
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let Some(sshd) = Sshd::start("nothing_is_left_behind") else {
        return;
    };
    let link = sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
    let folder = link.inner.way.folder.path().to_owned();
    assert!(folder.exists());
    drop(link);
    let began = Instant::now();
    while std::process::Command::new("pgrep")
        .args(["-f", &folder.display().to_string()])
        .output()
        .is_ok_and(|found| !found.stdout.is_empty())
    {
        assert!(began.elapsed() < Duration::from_secs(5), "the master goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!Path::new(&folder).exists());
}

#[tokio::test]
async fn a_connection_ends_with_whatever_used_it_last() {
    let Some(sshd) = Sshd::start("a_connection_ends_with_whatever_used_it_last") else {
        return;
    };
    let link = sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
    let child = link.spawn("cat", &[]).await.expect("cat");
    drop(link);
    assert!(sshd.is_connected());
    drop(child);
    let began = Instant::now();
    while sshd.is_connected() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the master has not ended"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_shell_that_says_something_of_its_own_is_named() {
    let Some(mut sshd) = Sshd::start("a_shell_that_says_something_of_its_own_is_named") else {
        return;
    };
    sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
    for (command, words) in [
        (
            "echo Welcome; eval \"$SSH_ORIGINAL_COMMAND\"",
            ["\"Welcome\"", ".bashrc"],
        ),
        ("echo go away", ["go away", "forced command"]),
    ] {
        sshd.stop();
        sshd.configure(&format!("ForceCommand {command}"));
        let error = sshd.link("user", HostKeys::Known).await.expect_err(command);
        let error = error.to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}
