/// Bytes that are fed at once, at most.
pub const FED_BYTES_MAX: usize = 128 * 1024;

/// Bounds of one connection. Each has a default that serves browsers, gRPC clients and load generators without being felt.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams that may be open at once: what the peer may open (SETTINGS_MAX_CONCURRENT_STREAMS, RFC 9113 §5.1.2; more are refused with REFUSED_STREAM)
    /// and, on the client's side, what is opened even if the peer would take more.
    pub streams_max: u32,
    /// Size of a head or of trailers, bytes as RFC 9113 §6.5.2 counts them (names, values and 32 for each field). A request beyond is answered 431, a response
    /// resets its stream, four times as much ends the connection.
    pub header_list_bytes_max: u32,
    /// Window of a stream, bytes: what a peer may send of one body before anything was taken from it (RFC 9113 §6.9.2).
    pub window_bytes: u32,
    /// Window of the connection, bytes: the same for all bodies together.
    pub connection_window_bytes: u32,
    /// Bytes of one stream that may wait in h2 to be framed.
    pub send_bytes_max: usize,
    /// Bytes of output that may wait for the socket: beyond them no body bytes are taken and nothing more is read.
    pub output_bytes_max: usize,
    /// Bytes of input that may wait because the output is full; `wants_input` says so.
    pub input_bytes_max: usize,
    /// Resets by the peer in a burst, and messages of it that are malformed (rapid reset, CVE-2023-44487); each completed exchange gives one back, and so
    /// does each request that is begun on the client's side.
    pub resets_max: u32,
    /// Resets by the peer that are given back each second.
    pub resets_per_second: u32,
    /// Frames without use in a burst: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty and unknown ones, weighed; bytes and exchanges that flow give some back.
    pub control_frames_max: u32,
    /// Frames without use that are given back each second.
    pub control_frames_per_second: u32,
    /// Server: errors of streams that h2 answers with a reset, over the life of the connection (MadeYouReset, CVE-2025-8671), refused streams among them.
    pub stream_errors_max: usize,
    /// Interim answers (1xx) to one request.
    pub interim_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            streams_max: 128,
            header_list_bytes_max: 32 * 1024,
            window_bytes: 128 * 1024,
            connection_window_bytes: 1024 * 1024,
            send_bytes_max: 64 * 1024,
            output_bytes_max: 256 * 1024,
            input_bytes_max: 64 * 1024,
            resets_max: 200,
            resets_per_second: 20,
            control_frames_max: 1_000,
            control_frames_per_second: 100,
            stream_errors_max: 256,
            interim_max: 16,
        }
    }
}

/// What a DATA frame costs h2 beside its bytes, as it counts, and the shortest one that has any.
const FRAME_COST_BYTES: usize = 256;
const SHORTEST_FRAME_BYTES: usize = 10;

impl Limits {
    /// Those of a connection to an upstream. All of its streams may fill their windows at once: what one client does not take must not hold up what others on the same
    /// connection are owed. Exchanges bound the memory, as each of them has its own window.
    #[must_use]
    pub fn upstream() -> Limits {
        let limits = Limits::default();
        Limits {
            connection_window_bytes: limits.streams_max * limits.window_bytes,
            ..limits
        }
    }

    /// What small DATA frames may cost until their bytes are taken. All that was fed is taken in the same turn, so that what may be fed bounds it already: h2's own
    /// bound, made for applications that let bytes lie, would end the streams of small messages that arrive fast (gRPC).
    pub(super) fn data_frame_budget(&self) -> usize {
        // As much as may wait unread, and a read on top of it.
        (self.input_bytes_max + FED_BYTES_MAX) / SHORTEST_FRAME_BYTES * FRAME_COST_BYTES
    }
}
