//! Each target for a few seconds, with the same inputs each time. `CNX_FUZZ_TIMES=1000 cargo test --release -p cnx-fuzz-transport` takes longer.

use cnx_fuzz_transport::TARGETS;

cnx_fuzz_inputs::targets! {
    TARGETS:
    transport_request
    transport_response
    transport_chunked
    transport_proxy
    transport_client_hello
}
