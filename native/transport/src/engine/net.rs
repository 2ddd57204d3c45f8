//! Sockets as the engine wants them: non-blocking, closed on exec, ports shared among lanes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::ioctl;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections that may wait to be accepted; the kernel's own bound (`net.core.somaxconn`) may be lower.
const BACKLOG: i32 = 4096;

fn stream(address: &SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    rustix::net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )
}

/// A listening socket and the port it got.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<(OwnedFd, u16)> {
    let fd = stream(&address)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    // Each lane has a socket of its own on the port, and the kernel spreads connections over them.
    sockopt::set_socket_reuseport(&fd, true)?;
    rustix::net::bind(&fd, &address)?;
    rustix::net::listen(&fd, BACKLOG)?;
    let bound = rustix::net::getsockname(&fd)?;
    let bound = SocketAddr::try_from(bound).map_err(|_| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    Ok((fd, bound.port()))
}

/// What `accept` gave.
pub enum Accepted {
    Connection(OwnedFd, SocketAddr),
    /// Nobody waits.
    None,
    /// The client has left already.
    Gone,
    /// No descriptors or memory are left: try again later.
    Exhausted,
}

pub fn accept(listener: &OwnedFd) -> Accepted {
    match rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok((fd, Some(peer))) => match SocketAddr::try_from(peer) {
            Ok(peer) => {
                let _ = sockopt::set_tcp_nodelay(&fd, true);
                Accepted::Connection(fd, peer)
            }
            Err(_) => Accepted::Gone,
        },
        Ok((_, None)) => Accepted::Gone,
        Err(Errno::AGAIN) => Accepted::None,
        Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Accepted::Exhausted,
        Err(_) => Accepted::Gone,
    }
}

/// Begins to connect; an event tells when it stands.
///
/// # Errors
/// When it is refused at once.
pub fn connect(address: &SocketAddr) -> io::Result<OwnedFd> {
    let fd = stream(address)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    match rustix::net::connect(&fd, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(e) => Err(e.into()),
    }
}

/// Bytes that were sent and that the peer's system has not got yet (SIOCOUTQ of tcp(7)); 0 when nobody can say.
pub fn unacknowledged(fd: &OwnedFd) -> usize {
    /// The same number on all systems that the addon is built for (asm-generic/ioctls.h).
    const SIOCOUTQ: ioctl::Opcode = 0x5411;
    #[allow(unsafe_code)]
    // SAFETY: of a TCP socket it writes one int, which is what the getter has room for; others refuse it.
    let bytes = unsafe { ioctl::ioctl(fd, ioctl::Getter::<SIOCOUTQ, i32>::new()) };
    bytes.ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

/// Why a connection that was begun does not stand; told once.
pub fn connect_fault(fd: &OwnedFd) -> Option<std::io::Error> {
    match sockopt::socket_error(fd) {
        Ok(Ok(())) => None,
        Ok(Err(errno)) | Err(errno) => Some(errno.into()),
    }
}
