//! The same questions here and over a real sshd to this very machine: the answers agree.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::link::sshd_tests::Sshd;
use crate::{ErrorKind, HostKeys};

async fn both(sshd: &Sshd) -> [Place; 2] {
    let link = sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
    [Place::here(), Place::over(&link).await.expect("a place")]
}

fn access(mode: u32, uid: u32) -> Access {
    Access { mode, uid, gid: uid }
}

#[tokio::test]
async fn files_and_folders_are_the_same_from_both_sides() {
    let Some(sshd) = Sshd::start("files_and_folders_are_the_same_from_both_sides") else {
        return;
    };
    let [here, there] = both(&sshd).await;
    let folder = tempfile::tempdir().expect("folder");
    let base = folder.path().join("a b/$(x)'");
    for (writer, reader) in [(&here, &there), (&there, &here)] {
        writer
            .make_folder(&base, access(0o755, 0), FolderKind::Ours)
            .await
            .expect("made");
        let file = base.join("it's \"a\" file");
        let content = b"one\n\0\xff\n\n".repeat(1000);
        for mode in [0o600, 0o440] {
            writer
                .write(&file, &content, access(mode, 65534))
                .await
                .expect("written");
            let entry = reader.entry(&file).await.expect("entry").expect("there");
            assert_eq!(entry, writer.entry(&file).await.expect("entry").expect("there"));
            assert!(entry.content.as_ref() == Some(&content));
            assert_eq!(entry.access, access(mode, 65534));
            assert!(reader.read(&file).await.expect("read") == Some(content.clone()));
        }
        writer.write(&file, b"", access(0o600, 0)).await.expect("written");
        assert_eq!(reader.read(&file).await.expect("read"), Some(Vec::new()));
        let names = Some(vec!["it's \"a\" file".to_owned()]);
        assert_eq!(reader.list(&base).await.expect("list"), names);
        assert_eq!(writer.list(&base).await.expect("list"), names);
        assert!(writer.exists(&file).await && reader.exists(&file).await);
        writer
            .remove_if_empty(&base)
            .await
            .expect("not empty is no failure");
        writer.remove(&file).await.expect("removed");
        writer.remove(&file).await.expect("gone already");
        assert_eq!(reader.read(&file).await.expect("read"), None);
        assert_eq!(
            reader.entry(&base.join("no/such/file")).await.expect("entry"),
            None
        );
        assert_eq!(writer.list(&base.join("no")).await.expect("list"), None);
        writer.remove_if_empty(&base).await.expect("removed");
        assert!(!reader.exists(&base).await);
        writer.remove_if_empty(&base).await.expect("gone already");
    }
}

#[tokio::test]
async fn what_cannot_be_is_the_same_error() {
    let Some(sshd) = Sshd::start("what_cannot_be_is_the_same_error") else {
        return;
    };
    let [here, there] = both(&sshd).await;
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("write");
    for place in [&here, &there] {
        let error = place
            .write(folder.path(), b"x", access(0o600, 0))
            .await
            .expect_err("a folder");
        assert!(error.to_string().contains("something else lies there"), "{error}");
        let error = place
            .make_folder(&file, access(0o755, 0), FolderKind::Ours)
            .await
            .expect_err("a file");
        assert!(error.to_string().contains("something else lies there"), "{error}");
        assert_eq!(fs::read(&file).expect("read"), b"x");
        place.list(&file).await.expect_err("no folder");
        place
            .write(&folder.path().join("no/such/file"), b"x", access(0o600, 0))
            .await
            .expect_err("no folder");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
}

#[tokio::test]
async fn streams_and_new_names_are_the_same() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let Some(sshd) = Sshd::start("streams_and_new_names_are_the_same") else {
        return;
    };
    for place in both(&sshd).await {
        let folder = tempfile::tempdir().expect("folder");
        let (from, to) = (folder.path().join("it's one"), folder.path().join("two"));
        fs::create_dir(&from).expect("folder");
        fs::write(from.join("file"), "x").expect("write");
        place.rename(&from, &to).await.expect("moved");
        assert!(!from.exists() && to.join("file").exists());
        place
            .rename(&from, &folder.path().join("three"))
            .await
            .expect_err("nothing there");
        // A megabyte in and out at once: neither end may wait for the other.
        let mut pipe = place.pipe("cat", &[]).await.expect("cat");
        let (mut input, mut output) = (pipe.input.take().expect("in"), pipe.output.take().expect("out"));
        let sent: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
        let mut got = Vec::new();
        let sending = async {
            input.write_all(&sent).await.expect("sent");
            input.shutdown().await.expect("ended");
            drop(input);
        };
        let ((), read) = tokio::join!(sending, output.read_to_end(&mut got));
        read.expect("read");
        assert!(got == sent);
        assert_eq!(pipe.finish(&[0]).await.expect("well"), 0);
        let error = place
            .finish("sh", &["-c", "exit 7"], &[0, 1])
            .await
            .expect_err("7");
        assert!(error.to_string().contains("code 7"), "{error}");
        assert_eq!(
            place.finish("sh", &["-c", "exit 1"], &[0, 1]).await.expect("1"),
            1
        );
    }
}

#[tokio::test]
async fn data_changes_hands_and_the_users_own_does_not() {
    let Some(sshd) = Sshd::start("data_changes_hands_and_the_users_own_does_not") else {
        return;
    };
    let [_, there] = both(&sshd).await;
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("wal")).expect("folder");
    fs::write(data.join("wal/0"), "x").expect("write");
    fs::write(folder.path().join("outside"), "x").expect("write");
    std::os::unix::fs::symlink(folder.path().join("outside"), data.join("link")).expect("link");
    there
        .make_folder(&data, access(0o700, 65534), FolderKind::Users)
        .await
        .expect("left alone");
    let owner = |name: &str| {
        fs::symlink_metadata(folder.path().join(name))
            .expect("there")
            .uid()
    };
    assert_eq!(owner("data"), 0);
    there
        .make_folder(&data, access(0o700, 65534), FolderKind::Data)
        .await
        .expect("handed over");
    for name in ["data", "data/wal", "data/wal/0", "data/link"] {
        assert_eq!(owner(name), 65534, "{name}");
    }
    assert_eq!(owner("outside"), 0);
}

#[tokio::test]
async fn the_host_is_the_same_from_both_sides() {
    let Some(sshd) = Sshd::start("the_host_is_the_same_from_both_sides") else {
        return;
    };
    let [here, there] = both(&sshd).await;
    let folder = tempfile::tempdir().expect("folder");
    assert_eq!(here.hostname(), there.hostname());
    assert!(here.is_root() && there.is_root());
    let not_yet = folder.path().join("not/yet");
    let (a, b) = (
        here.space(&not_yet).await.expect("space"),
        there.space(&not_yet).await.expect("space"),
    );
    assert_eq!(a.total / 4096, b.total / 4096);
    fs::write(folder.path().join("file"), vec![1; 1 << 20]).expect("write");
    fs::File::open(folder.path().join("file"))
        .and_then(|file| file.sync_all())
        .expect("sync");
    for place in [&here, &there] {
        let size = place.size(folder.path()).await.expect("size");
        assert!((1 << 20..1 << 21).contains(&size), "{size}");
        assert_eq!(place.size(&not_yet).await.expect("nothing"), 0);
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let found = there.listening().await.expect("tables");
    let ours = found.iter().find(|socket| socket.port == port).expect("ours");
    assert!(ours.address.is_loopback() && ours.owner.is_some(), "{ours:?}");
    let ranges = here.routed_ranges().await.expect("routes");
    assert_eq!(ranges, there.routed_ranges().await.expect("routes"));
    assert_eq!(here.root_is_shared().await, there.root_is_shared().await);
    assert_eq!(
        there.reach(port).await.expect("forwarded").ip(),
        Ipv4Addr::LOCALHOST
    );
    assert_eq!(there.run("no-such-program-of-anybody", &[]).await, None);
    let said = there
        .run("sh", &["-c", "echo out; echo err >&2; exit 3"])
        .await
        .expect("a shell");
    assert_eq!((said.succeeded, said.text.as_str()), (false, "out\nerr\n"));
}

#[tokio::test]
async fn the_lock_is_one_for_both_sides() {
    let Some(sshd) = Sshd::start("the_lock_is_one_for_both_sides") else {
        return;
    };
    let [here, there] = both(&sshd).await;
    let name = format!("test-{}", std::process::id());
    let lock = there
        .lock(&name, "`setup` of the other", false, |_| {})
        .await
        .expect("free");
    for place in [&here, &there] {
        let error = place
            .lock(&name, "second", false, |_| {})
            .await
            .expect_err("held");
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.to_string().contains("`setup` of the other"), "{error}");
    }
    drop(lock);
    let lock = there
        .lock(&name, "again", false, |_| {})
        .await
        .expect("free again");
    drop(lock);
    let lock = here.lock(&name, "here", true, |_| {}).await.expect("free again");
    let error = there.lock(&name, "there", false, |_| {}).await.expect_err("held");
    assert!(error.to_string().contains("here"), "{error}");
    drop(lock);
    let _gone = fs::remove_file(format!("{LOCK_DIR}/{name}.lock"));
}

#[tokio::test]
async fn a_lock_is_had_again_over_the_next_connection() {
    let Some(mut sshd) = Sshd::start("a_lock_is_had_again_over_the_next_connection") else {
        return;
    };
    let [here, there] = both(&sshd).await;
    let name = format!("again-{}", std::process::id());
    let lock = there.lock(&name, "the first", false, |_| {}).await.expect("free");
    sshd.stop();
    sshd.run();
    // What is asked finds the connection gone, and a new one.
    assert!(
        there
            .read(Path::new("/etc/passwd"))
            .await
            .expect("read")
            .is_some()
    );
    let error = here.lock(&name, "second", false, |_| {}).await.expect_err("held");
    assert!(error.to_string().contains("the first"), "{error}");
    // Lost to somebody else, it is an error and not a second run beside theirs.
    sshd.stop();
    let theirs = here
        .lock(&name, "somebody else", true, |_| {})
        .await
        .expect("free");
    sshd.run();
    let error = there.read(Path::new("/etc/passwd")).await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("somebody else"), "{error}");
    drop((lock, theirs));
    let _gone = fs::remove_file(format!("{LOCK_DIR}/{name}.lock"));
}
