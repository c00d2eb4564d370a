//! ssh, to a server on this machine.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Daemon, each_way_ends_the_far_side, free_port, installed, save, shell, snippets};
use super::{streams_and_codes_come_through, user};
use crate::faults::can;
use crate::support::{Setup, text};

const SSHD: &str = "/usr/sbin/sshd";

/// Makes a pair of keys and returns the public one.
fn make_key(path: &Path) -> String {
    let mut keygen = Command::new("ssh-keygen");
    let made = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.unwrap().success());
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

/// A server, and in `client` the configuration of a client that knows it as `build-box`.
fn start_sshd(directory: &Path) -> Daemon {
    let (port, home, user) = (free_port(), directory.display(), user());
    let (host_key, user_key) =
        (make_key(&directory.join("host")), make_key(&directory.join("user")));
    let write = |name, text| fs::write(directory.join(name), text).unwrap();
    write("known", format!("[127.0.0.1]:{port} {host_key}"));
    write("authorized", user_key);
    write(
        "server",
        format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n"
        ),
    );
    write(
        "client",
        format!(
            "Host build-box\nHostName 127.0.0.1\nPort {port}\nUser {user}\nIdentityFile {home}/user\n\
             IdentitiesOnly yes\nBatchMode yes\nUserKnownHostsFile {home}/known\n"
        ),
    );
    // The package leaves this to the start of the system. Only root needs it and can make it.
    let _ = fs::create_dir_all("/run/sshd");
    let mut sshd = Command::new(SSHD);
    sshd.args(["-D", "-e", "-f"]).arg(directory.join("server"));
    Daemon::start(&mut sshd, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
}

#[test]
fn ssh_runs_and_ends_jobs() {
    if !installed("ssh", &[SSHD, "/usr/bin/ssh", "/usr/bin/setpriv"]) {
        return;
    }
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    let sshd = start_sshd(directory);
    // A server without PAM refuses an account whose password is locked.
    let configuration = directory.join("client");
    if !can("ssh", "ssh", &["-F", configuration.to_str().unwrap(), "build-box", "true"]) {
        return;
    }
    let [script, line] = snippets("ssh").try_into().unwrap();
    let path = directory.join("remote-bash");
    save("755", &script, &path);
    let shell = shell(&line)
        .replace("/path/to/remote-bash", path.to_str().unwrap())
        .replace("build-box", &format!("-F {} build-box", configuration.display()));
    let setup = || Setup::new().flags(["--shell", &shell]);

    let client = setup().start();
    streams_and_codes_come_through(&client);
    let reply = client.run("(setsid sleep 1000 &); sleep 1000 & echo started");
    assert_eq!((text(&reply, "output"), text(&reply, "error")), ("started\n", ""), "{reply}");
    each_way_ends_the_far_side(0.1, setup);

    drop(sshd);
    let reply = client.run("echo not reached");
    assert_eq!(reply["returncode"], 255, "{reply}");
    assert!(text(&reply, "error").contains("Connection refused"), "{reply}");
}
