//! Listening sockets on their way from a process to the one that follows it: over a Unix socket of datagrams, as SCM_RIGHTS. Nothing waits: a datagram is in the
//! inbox when `send` returns. What a socket listens on is read from the socket itself; nothing that is said about it has to be believed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketType, sockopt,
};

/// Sockets in one datagram; the kernel takes up to 253 (SCM_MAX_FD).
const SOCKETS_PER_DATAGRAM: usize = 64;
/// Datagrams read from an inbox; its queue holds fewer.
const DATAGRAMS_MAX: usize = 1024;
/// What each datagram says, so that nothing else is taken for one.
const MARK: &[u8] = b"cnx listeners 1";

/// A listening socket and where it listens.
pub struct Inherited {
    /// The socket.
    pub fd: OwnedFd,
    /// Where it listens, as it says itself.
    pub address: SocketAddr,
}

/// Where sockets arrive.
pub struct Inbox {
    socket: UnixDatagram,
}

impl Inbox {
    /// Makes it at `path`, where nothing may be.
    ///
    /// # Errors
    /// When the path is taken, too long for a Unix socket, or not to be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Everything that has arrived.
    ///
    /// # Errors
    /// When something arrived that is no listening TCP socket, or not all of it could be taken.
    pub fn receive(&self) -> io::Result<Vec<Inherited>> {
        let mut all = Vec::new();
        for _ in 0..DATAGRAMS_MAX {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_DATAGRAM))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut bytes = [0; MARK.len() + 1];
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let received =
                match rustix::net::recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
                    Ok(received) => received,
                    Err(Errno::AGAIN) => return Ok(all),
                    Err(error) => return Err(error.into()),
                };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(sockets) = message {
                    for fd in sockets {
                        all.push(checked(fd)?);
                    }
                }
            }
            // Cut short: descriptors had no room here, or this process may have no more of them.
            if received.flags.contains(ReturnFlags::CTRUNC) {
                return Err(io::Error::other(
                    "not all sockets arrived: are descriptors left (RLIMIT_NOFILE)?",
                ));
            }
            if bytes.get(..received.bytes) != Some(MARK) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a datagram of somebody else",
                ));
            }
        }
        Err(io::Error::other("more sockets arrive than there can be"))
    }
}

fn checked(fd: OwnedFd) -> io::Result<Inherited> {
    let listens = sockopt::socket_type(&fd)? == SocketType::STREAM && sockopt::socket_acceptconn(&fd)?;
    let address = rustix::net::getsockname(&fd)?;
    match SocketAddr::try_from(address) {
        Ok(address) if listens => Ok(Inherited { fd, address }),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "what arrived does not listen on TCP",
        )),
    }
}

/// Sends copies of sockets to the inbox at `path`. The caller keeps its own.
///
/// # Errors
/// When nobody has an inbox there, or it is full.
pub fn send(path: &Path, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let to = UnixDatagram::unbound()?;
    to.set_nonblocking(true)?;
    to.connect(path)?;
    for batch in sockets.chunks(SOCKETS_PER_DATAGRAM) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_DATAGRAM))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(batch)) {
            return Err(io::Error::other("the sockets have no room in a datagram"));
        }
        rustix::net::sendmsg(&to, &[IoSlice::new(MARK)], &mut control, SendFlags::DONTWAIT)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    use super::*;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("cnx-inbox-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn a_connection_that_waits_is_accepted_by_whoever_got_the_socket() {
        let path = place("waits");
        let inbox = Inbox::open(&path).expect("an inbox");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).expect("a client");
        send(&path, &[listener.as_fd()]).expect("sent");
        drop(listener);
        let got = inbox.receive().expect("received");
        assert_eq!(got.iter().map(|one| one.address).collect::<Vec<_>>(), [address]);
        let inherited = TcpListener::from(got.into_iter().next().expect("one").fd);
        inherited.set_nonblocking(false).expect("blocking");
        inherited
            .accept()
            .expect("accepted")
            .0
            .write_all(b"hi")
            .expect("written");
        let mut heard = [0; 2];
        client.read_exact(&mut heard).expect("heard");
        assert_eq!(&heard, b"hi");
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn many_sockets_arrive_all() {
        let path = place("many");
        let inbox = Inbox::open(&path).expect("an inbox");
        let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a listener");
        let sockets = [listener.as_fd(); 2 * SOCKETS_PER_DATAGRAM + 1];
        send(&path, &sockets).expect("sent");
        assert_eq!(inbox.receive().expect("received").len(), sockets.len());
        assert_eq!(inbox.receive().expect("nothing more").len(), 0);
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let path = place("other");
        let inbox = Inbox::open(&path).expect("an inbox");
        let other = UnixDatagram::unbound().expect("a socket");
        send(&path, &[other.as_fd()]).expect("sent");
        assert!(inbox.receive().is_err());
        let stranger = UnixDatagram::unbound().expect("a socket");
        stranger.send_to(b"hello", &path).expect("sent");
        assert!(inbox.receive().is_err());
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn nobody_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        assert!(send(&place("nobody"), &[listener.as_fd()]).is_err());
    }
}
