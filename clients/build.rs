//! Generates client and server of the gRPC service that the tests call.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("crate::notes::Note")
            .output_type("crate::notes::Note")
            .codec_path("tonic_prost::ProstCodec")
    };
    let notes = Service::builder()
        .name("Notes")
        .package("notes.v1")
        .method(method("echo", "Echo").build())
        .method(method("join", "Join").client_streaming().build())
        .method(method("chat", "Chat").client_streaming().server_streaming().build())
        .build();
    Builder::new().compile(&[notes]);
    println!("cargo::rerun-if-changed=build.rs");
}
