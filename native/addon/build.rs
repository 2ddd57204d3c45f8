fn main() {
    napi_build::setup();
    // Node closes an addon with the last thread that loaded it. The statics here are the process's, and the allocator has a destructor with every thread that ever
    // allocated: neither may go while threads come and go.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
