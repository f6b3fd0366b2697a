//! The host when it is another machine: what [`super::Place`] asks of it is asked through a shell over the link.
//!
//! What is run there is POSIX shell, `stat`, `head`, `df`, `du`, `flock` and the like, as both GNU's and busybox' forms have them. Names
//! travel as arguments and contents as standard input, so nothing of them is ever read by a shell.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Output, Space, programs, sockets};
use crate::desired::{Access, FolderKind};
use crate::link::{Link, LinkChild, LinkOutput};
use crate::ports::Listening;
use crate::{ObservedEntry, StackError};

/// The exit code by which our scripts say that there is nothing at a path.
const NOTHING: i32 = 44;
/// The one by which they say that somebody else holds the lock.
const HELD: i32 = 75;
/// How often the holder of a lock says that it is still there; the other side waits for four of them.
const BEAT: Duration = Duration::from_secs(15);
/// Between two looks at a lock that is waited for.
const PAUSE: Duration = Duration::from_millis(400);
/// So many looks are taken before a held lock counts as held.
const GRACE: u32 = 3;
/// And so many at one of our own that a broken connection has left: a minute and more, see [`BEAT`].
const STALE_LOOKS: u32 = 180;
/// What the program of the lock says when it has it.
const TAKEN: &[u8] = b"taken\n";
/// Of a longer file this much is read.
const MAX_FILE_BYTES: usize = 16_777_216;
/// Where the locks are.
const LOCK_DIR: &str = "/run/masthead";

/// Another machine.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    link: Link,
    hostname: String,
    /// A lock goes with the connection, and has to be had again over the next one.
    claim: Arc<Mutex<Option<Claim>>>,
}

/// A lock that is held there until the value goes.
#[derive(Debug)]
pub(crate) struct RemoteLock {
    claim: Arc<Mutex<Option<Claim>>>,
}

impl Drop for RemoteLock {
    fn drop(&mut self) {
        take(&self.claim);
    }
}

/// Which lock is held, and what keeps it.
#[derive(Debug)]
struct Claim {
    name: String,
    who: String,
    beat: tokio::task::JoinHandle<()>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Its standard input goes with the task, and the program there ends with it.
        self.beat.abort();
    }
}

fn take(claim: &Mutex<Option<Claim>>) -> Option<Claim> {
    claim.lock().ok().and_then(|mut claim| claim.take())
}

/// Stands before each script. The locale, since complaints are read; and whether there is anything at a path, or its folder hides it.
const PRELUDE: &str = r#"export LC_ALL=C
there() {
  [ -e "$1" ] && return
  up=$1
  while [ "$up" != / ]; do
    up=$(dirname "$up")
    if [ -d "$up" ]; then
      [ -x "$up" ] && exit 44
      echo "$1: Permission denied" >&2
      exit 1
    fi
  done
  exit 44
}
kept() { sync "$1" 2>/dev/null || sync; }
"#;
const READ: &str = r#"there "$1"
head -c 16777216 "$1""#;
/// Many at once, as each command is a way there and back: a line for each, and after that of a file its content.
const ENTRIES: &str = r#"for path in "$@"; do
  (there "$path")
  case $? in
    0) stat -L -c '%f %u %g %s' "$path" || exit 1
       [ -d "$path" ] || head -c 16777216 "$path" || exit 1 ;;
    44) echo - ;;
    *) exit 1 ;;
  esac
done"#;
const LIST: &str = r#"there "$1"
cd "$1" && ls -1A"#;
const EXISTS: &str = r#"[ -e "$1" ] || [ -L "$1" ]"#;
const MAKE_FOLDER: &str = r#"path=$1 mode=$2 uid=$3 gid=$4 kind=$5
mkdir -p "$(dirname "$path")" || exit 1
if [ -d "$path" ]; then
  [ "$kind" = users ] && exit 0
  if [ "$kind" = data ] && [ "$(stat -L -c %u "$path")" != "$uid" ]; then
    find "$path/" -mindepth 1 -exec chown -h "$uid:$gid" {} + || exit 1
  fi
elif [ -e "$path" ]; then
  echo "Not a directory" >&2
  exit 1
else
  mkdir -m 700 "$path" || exit 1
fi
chown "$uid:$gid" "$path" && chmod "$mode" "$path""#;
const WRITE: &str = r#"path=$1 mode=$2 uid=$3 gid=$4 bytes=$5
if [ -d "$path" ]; then echo "Is a directory" >&2; exit 1; fi
folder=$(dirname "$path")
new=$folder/.$(basename "$path").masthead-new
fail() { rm -f "$new"; exit 1; }
rm -f "$new" || exit 1
umask 077
cat > "$new" || fail
[ "$(wc -c < "$new")" -eq "$bytes" ] || { echo "the content broke off on its way" >&2; fail; }
chown "$uid:$gid" "$new" && chmod "$mode" "$new" && kept "$new" && mv -f "$new" "$path" || fail
kept "$folder""#;
const REMOVE: &str = r#"rm -rf "$1""#;
/// Asked again after the connection was lost, it may be done already. Into a folder nothing is moved.
const RENAME: &str = r#"[ -e "$1" ] || [ -L "$1" ] || [ ! -e "$2" ] || exit 0
[ ! -d "$2" ] || { echo "$2 is there already" >&2; exit 1; }
mv -f "$1" "$2""#;
const REMOVE_IF_EMPTY: &str = r#"[ -d "$1" ] || exit 0
[ -n "$(ls -A "$1" | head -n 1)" ] || rmdir "$1""#;
const SPACE: &str = r#"path=$1
while [ ! -e "$path" ] && [ "$path" != / ]; do path=$(dirname "$path"); done
df -Pk "$path""#;
const SIZE: &str = r#"[ -e "$1" ] || { echo 0; exit 0; }
du -sk "$1" 2>/dev/null || true"#;
/// Where a process has gone meanwhile, there is a complaint and no line.
const LISTENING: &str = r#"cat /proc/net/tcp /proc/net/tcp6 2>/dev/null
echo owners
grep -H . /proc/[0-9]*/comm 2>/dev/null
ls -l /proc/[0-9]*/fd 2>/dev/null
exit 0"#;
/// The lock goes with this shell, and the shell with its standard input, or when the other side is silent for a minute.
const LOCK: &str = r#"name=$1 who=$2
for program in flock timeout dd; do
  command -v "$program" > /dev/null || { echo "there is no $program"; exit 1; }
done
mkdir -p /run/masthead || exit 1
exec 9<>"/run/masthead/$name.lock" || exit 1
if ! flock -n 9; then cat "/run/masthead/$name.lock"; exit 75; fi
printf %s "$who" > "/run/masthead/$name.lock"
echo taken
while [ -n "$(timeout 60 dd bs=1 count=1 2>/dev/null)" ]; do :; done"#;

impl Remote {
    pub(super) async fn new(link: Link) -> Result<Self, StackError> {
        let said = link.output("uname", &["-n"], &[]).await?;
        Ok(Self {
            link,
            hostname: text(&said.stdout),
            claim: Arc::default(),
        })
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Runs one of our scripts that only look; once more over a new connection where the first one is gone.
    async fn look(&self, script: &str, words: &[&str]) -> Result<LinkOutput, StackError> {
        match self.script(script, words, &[]).await {
            Err(StackError::Dropped { .. }) => {
                self.reconnect().await?;
                self.script(script, words, &[]).await
            }
            other => other,
        }
    }

    /// Connects anew, and takes the lock again where one was held: somebody else may have it now.
    async fn reconnect(&self) -> Result<(), StackError> {
        self.link.reconnect().await?;
        let Some(old) = take(&self.claim) else {
            return Ok(());
        };
        let mut looks = 0;
        loop {
            match self.try_lock(&old.name, &old.who).await? {
                Ok(()) => return Ok(()),
                // Our own, of the connection that broke off: the server has not noticed yet.
                Err(holder) if holder == old.who && looks < STALE_LOOKS => looks += 1,
                Err(holder) => return Err(StackError::Locked { holder }),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn script(&self, script: &str, words: &[&str], stdin: &[u8]) -> Result<LinkOutput, StackError> {
        let script = format!("{PRELUDE}{script}");
        let all: Vec<&str> = ["-c", &script, "masthead"]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        self.link.output("sh", &all, stdin).await
    }

    pub(super) async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StackError> {
        let said = self.look(READ, &[&words_of(path)?]).await?;
        match said.code {
            0 => Ok(Some(said.stdout)),
            NOTHING => Ok(None),
            _ => Err(failed("reading", path, &said)),
        }
    }

    pub(super) async fn entry(&self, path: &Path) -> Result<Option<ObservedEntry>, StackError> {
        let said = self.look(ENTRIES, &[&words_of(path)?]).await?;
        let entry = (said.code == 0).then(|| parse_entry(&said.stdout)).flatten();
        entry.ok_or_else(|| failed("looking at", path, &said))
    }

    /// The same of many paths, in their order.
    pub(super) async fn entries(&self, paths: &[PathBuf]) -> Result<Vec<Option<ObservedEntry>>, StackError> {
        let all = paths
            .iter()
            .map(|path| words_of(path))
            .collect::<Result<Vec<_>, _>>()?;
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        let said = self.look(ENTRIES, &words).await?;
        if said.code == 0
            && let Some(entries) = parse_entries(&said.stdout, paths.len())
        {
            return Ok(entries);
        }
        // One by one, which names the path that something is wrong with.
        let mut entries = Vec::new();
        for path in paths {
            entries.push(self.entry(path).await?);
        }
        Ok(entries)
    }

    pub(super) async fn list(&self, folder: &Path) -> Result<Option<Vec<String>>, StackError> {
        let said = self.look(LIST, &[&words_of(folder)?]).await?;
        match said.code {
            0 => {
                let mut names: Vec<String> = text(&said.stdout).lines().map(ToOwned::to_owned).collect();
                names.sort();
                Ok(Some(names))
            }
            NOTHING => Ok(None),
            _ => Err(failed("listing", folder, &said)),
        }
    }

    pub(super) async fn exists(&self, path: &Path) -> bool {
        let Ok(word) = words_of(path) else { return false };
        let said = self.look(EXISTS, &[&word]).await;
        said.is_ok_and(|said| said.code == 0)
    }

    pub(super) async fn make_folder(
        &self,
        path: &Path,
        access: Access,
        kind: FolderKind,
    ) -> Result<(), StackError> {
        let kind = match kind {
            FolderKind::Ours => "ours",
            FolderKind::Data => "data",
            FolderKind::Users => "users",
        };
        let [mode, uid, gid] = access_words(access);
        let said = self
            .script(MAKE_FOLDER, &[&words_of(path)?, &mode, &uid, &gid, kind], &[])
            .await?;
        done("making the folder", path, &said)
    }

    pub(super) async fn write(&self, path: &Path, content: &[u8], access: Access) -> Result<(), StackError> {
        let [mode, uid, gid] = access_words(access);
        let bytes = content.len().to_string();
        let path_word = words_of(path)?;
        let words = [path_word.as_str(), &mode, &uid, &gid, &bytes];
        let said = self.script(WRITE, &words, content).await?;
        done("writing", path, &said)
    }

    pub(super) async fn remove(&self, path: &Path) -> Result<(), StackError> {
        let said = self.script(REMOVE, &[&words_of(path)?], &[]).await?;
        done("removing", path, &said)
    }

    pub(super) async fn rename(&self, from: &Path, to: &Path) -> Result<(), StackError> {
        let said = self.look(RENAME, &[&words_of(from)?, &words_of(to)?]).await?;
        done("moving", from, &said)
    }

    pub(super) async fn remove_if_empty(&self, path: &Path) -> Result<(), StackError> {
        let said = self.script(REMOVE_IF_EMPTY, &[&words_of(path)?], &[]).await?;
        done("removing", path, &said)
    }

    pub(super) async fn space(&self, path: &Path) -> Result<Space, StackError> {
        let said = self.look(SPACE, &[&words_of(path)?]).await?;
        parse_space(&text(&said.stdout)).ok_or_else(|| failed("asking for room at", path, &said))
    }

    pub(super) async fn size(&self, folder: &Path) -> Result<u64, StackError> {
        let said = self.look(SIZE, &[&words_of(folder)?]).await?;
        let kib = text(&said.stdout)
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        kib.map(|kib| kib.saturating_mul(1024))
            .ok_or_else(|| failed("measuring", folder, &said))
    }

    pub(super) async fn listening(&self) -> Result<Vec<Listening>, StackError> {
        let said = self.look(LISTENING, &[]).await?;
        let said = text(&said.stdout);
        let (tables, owners) = said.split_once("owners\n").unwrap_or((&said, ""));
        Ok(sockets::with_owners(tables, &sockets::parse_owners(owners)))
    }

    pub(super) async fn table(&self, path: &'static str) -> Result<String, StackError> {
        let said = self.look(READ, &[path]).await?;
        match said.code {
            0 => Ok(text(&said.stdout)),
            _ => Err(failed("reading", Path::new(path), &said)),
        }
    }

    /// Runs a program there; `None` when there is no such program, or no answer.
    pub(super) async fn run(&self, program: &str, words: &[&str]) -> Option<Output> {
        let all: Vec<&str> = ["LC_ALL=C", program]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        let said = self.link.output("env", &all, &[]);
        let said = tokio::time::timeout(programs::LIMIT, said).await.ok()?.ok()?;
        (said.code != 127).then(|| Output {
            succeeded: said.code == 0,
            text: String::from_utf8_lossy(&said.stdout).into_owned() + &said.stderr,
        })
    }

    pub(super) async fn lock(
        &self,
        name: &str,
        who: &str,
        wait: bool,
        waiting: impl Fn(&str),
    ) -> Result<RemoteLock, StackError> {
        let mut looks = 0;
        loop {
            let holder = match self.try_lock(name, who).await? {
                Ok(()) => {
                    return Ok(RemoteLock {
                        claim: Arc::clone(&self.claim),
                    });
                }
                Err(holder) => holder,
            };
            // A run that has just ended: its lock goes when the server has noticed.
            if looks >= GRACE && !wait {
                return Err(StackError::Locked { holder });
            }
            if looks == GRACE {
                waiting(&holder);
            }
            looks += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes the lock, or says who holds it.
    async fn try_lock(&self, name: &str, who: &str) -> Result<Result<(), String>, StackError> {
        let script = format!("{PRELUDE}{LOCK}");
        let mut child = self
            .link
            .spawn("sh", &["-c", &script, "masthead", name, who])
            .await?;
        let mut said = Vec::new();
        if let Some(out) = child.stdout() {
            read_until_taken(out, &mut said).await;
        }
        if said == TAKEN {
            let claim = Claim {
                name: name.to_owned(),
                who: who.to_owned(),
                beat: tokio::spawn(beat(child)),
            };
            if let Ok(mut held) = self.claim.lock() {
                *held = Some(claim);
            }
            return Ok(Ok(()));
        }
        let code = child
            .wait()
            .await
            .map_err(|_| StackError::Dropped {
                server: self.link.server().name.to_string(),
                attempt: "taking the lock".to_owned(),
            })?
            .code()
            .unwrap_or(-1);
        match (code, text(&said).trim()) {
            (HELD, "") => Ok(Err("a run that has just begun".to_owned())),
            (HELD, holder) => Ok(Err(holder.to_owned())),
            (code, complaint) => {
                let said = LinkOutput {
                    code,
                    stdout: Vec::new(),
                    stderr: complaint.to_owned(),
                };
                Err(failed("taking a lock in", Path::new(LOCK_DIR), &said))
            }
        }
    }
}

/// Reads what the program of the lock says: one line when it has it, else everything.
async fn read_until_taken(out: &mut openssh::ChildStdout, said: &mut Vec<u8>) {
    let mut byte = [0_u8; 1];
    while said != TAKEN && said.len() < 1024 {
        match out.read(&mut byte).await {
            Ok(1) => said.extend(byte),
            _ => return,
        }
    }
}

/// Says again and again that the holder is there: a connection may be gone without the other side ever hearing of it.
async fn beat(mut child: LinkChild) {
    while let Some(input) = child.stdin() {
        if input.write_all(b".").await.is_err() {
            return;
        }
        tokio::time::sleep(BEAT).await;
    }
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

/// A path as an argument of a command there.
fn words_of(path: &Path) -> Result<String, StackError> {
    path.to_str().map(ToOwned::to_owned).ok_or_else(|| {
        StackError::Invalid(format!(
            "the path {} is no UTF-8 and cannot be used on a server",
            path.display()
        ))
    })
}

fn access_words(access: Access) -> [String; 3] {
    [
        format!("{:o}", access.mode),
        access.uid.to_string(),
        access.gid.to_string(),
    ]
}

fn done(attempt: &'static str, path: &Path, said: &LinkOutput) -> Result<(), StackError> {
    match said.code {
        0 => Ok(()),
        _ => Err(failed(attempt, path, said)),
    }
}

/// What a program there complained about, as the system's error that it stands for.
fn failed(attempt: &'static str, path: &Path, said: &LinkOutput) -> StackError {
    let complaint = said.stderr.trim();
    let kinds = [
        ("Permission denied", io::ErrorKind::PermissionDenied),
        ("Operation not permitted", io::ErrorKind::PermissionDenied),
        ("No space left", io::ErrorKind::StorageFull),
        ("Disk quota exceeded", io::ErrorKind::QuotaExceeded),
        ("Read-only file system", io::ErrorKind::ReadOnlyFilesystem),
        ("Not a directory", io::ErrorKind::NotADirectory),
        ("Is a directory", io::ErrorKind::IsADirectory),
        ("No such file", io::ErrorKind::NotFound),
    ];
    let kind = kinds
        .into_iter()
        .find(|(words, _)| complaint.contains(words))
        .map_or(io::ErrorKind::Other, |(_, kind)| kind);
    let reason = match complaint {
        "" => format!("the command there ended with code {}", said.code),
        complaint => complaint.lines().last().unwrap_or(complaint).to_owned(),
    };
    StackError::file(attempt, path, io::Error::new(kind, reason))
}

/// One of [`parse_entries`]; the content is whatever comes after the line, should the file have grown meanwhile.
fn parse_entry(said: &[u8]) -> Option<Option<ObservedEntry>> {
    let (line, content) = split_line(said)?;
    if line == "-" {
        return Some(None);
    }
    let (access, is_folder, _) = parse_stat(line)?;
    let content = (!is_folder).then(|| content.to_vec());
    Some(Some(ObservedEntry { content, access }))
}

/// So many of `stat -c '%f %u %g %s'`, of files with as much content after it, and `-` where there is nothing.
fn parse_entries(mut said: &[u8], count: usize) -> Option<Vec<Option<ObservedEntry>>> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let (line, rest) = split_line(said)?;
        said = rest;
        if line == "-" {
            entries.push(None);
            continue;
        }
        let (access, is_folder, bytes) = parse_stat(line)?;
        let content = if is_folder {
            None
        } else {
            let (content, rest) = said.split_at_checked(bytes.min(MAX_FILE_BYTES))?;
            said = rest;
            Some(content.to_vec())
        };
        entries.push(Some(ObservedEntry { content, access }));
    }
    // A file that has grown meanwhile.
    said.is_empty().then_some(entries)
}

fn split_line(said: &[u8]) -> Option<(&str, &[u8])> {
    let end = said.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = said.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.get(1..).unwrap_or_default()))
}

/// Access, is it a folder, and the size.
fn parse_stat(line: &str) -> Option<(Access, bool, usize)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [mode, uid, gid, bytes] = words.as_slice() else {
        return None;
    };
    let mode = u32::from_str_radix(mode, 16).ok()?;
    let access = Access {
        mode: mode & 0o7777,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
    };
    Some((access, mode & 0o170_000 == 0o040_000, bytes.parse().ok()?))
}

/// The last line of `df -Pk`: device, KiB in all, used, available.
fn parse_space(said: &str) -> Option<Space> {
    let words: Vec<&str> = said.lines().last()?.split_whitespace().collect();
    // The name of a device may have blanks in it; the numbers are those before the share and the mount point.
    let share = words.iter().rposition(|word| word.ends_with('%'))?;
    let number = |back: usize| -> Option<u64> {
        let word = words.get(share.checked_sub(back)?)?;
        Some(word.parse::<u64>().ok()?.saturating_mul(1024))
    };
    Some(Space {
        free: number(1)?,
        total: number(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line_and_the_content() {
        assert_eq!(parse_entry(b"-\n"), Some(None));
        let entry = |said| parse_entry(said).flatten();
        // It was six bytes when it was asked about.
        let file = entry(b"81a4 0 65534 6\nkey: \xff\n\n").expect("a file");
        assert_eq!(file.content.as_deref(), Some(&b"key: \xff\n\n"[..]));
        assert_eq!(
            (file.access.mode, file.access.uid, file.access.gid),
            (0o644, 0, 65534)
        );
        let folder = entry(b"41c0 1 2 4096\n").expect("a folder");
        assert_eq!((folder.content, folder.access.mode), (None, 0o700));
        for odd in [&b""[..], b"81a4 0 0 0", b"odd\n", b"81a4 0 0\n", b"zz 0 0 0\n"] {
            assert_eq!(parse_entry(odd), None);
        }
    }

    #[test]
    fn many_entries_are_told_apart_by_their_sizes() {
        let said = b"81a4 0 65534 6\n-\n81\n\n-\n41c0 1 2 4096\n81a4 0 0 0\n";
        let entries = parse_entries(said, 4).expect("four");
        let contents: Vec<_> = entries
            .iter()
            .map(|one| one.as_ref().map(|one| one.content.as_deref()))
            .collect();
        assert_eq!(
            contents,
            [
                Some(Some(&b"-\n81\n\n"[..])),
                None,
                Some(None),
                Some(Some(&b""[..]))
            ]
        );
        // Fewer or more than were asked for; a file that was longer or shorter than it said.
        for (odd, count) in [
            (&b"-\n"[..], 2),
            (b"-\n-\n", 1),
            (b"81a4 0 0 1\nab", 1),
            (b"81a4 0 0 3\nab", 1),
            (b"81a4 0 0\nab", 1),
            (b"", 1),
        ] {
            assert_eq!(parse_entries(odd, count), None);
        }
    }

    #[test]
    fn room_is_read_from_df() {
        let said = "Filesystem     1024-blocks      Used Available Capacity Mounted on\n/dev/my disk 1000 400 500 45% /mnt/a b";
        let space = parse_space(said).expect("a line");
        assert_eq!((space.total, space.free), (1_024_000, 512_000));
        assert!(parse_space("").is_none());
        assert!(parse_space("df: odd").is_none());
    }

    #[test]
    fn complaints_become_the_systems_errors() {
        let said = |stderr: &str| LinkOutput {
            code: 1,
            stdout: Vec::new(),
            stderr: stderr.to_owned(),
        };
        let text = |stderr: &str| failed("writing", Path::new("/b/x"), &said(stderr)).to_string();
        assert!(text("sh: can't create x: Permission denied").ends_with("; run it as root"));
        assert!(text("cat: write error: No space left on device\n").contains("free some space"));
        assert!(text("").contains("ended with code 1"));
    }
}
