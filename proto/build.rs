//! Compiles the .proto files with protox, so that a build needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=muster");
    println!("cargo:rerun-if-changed=keda");
    let ours = ["run", "verdict", "audit", "costs", "pipeline", "fleet", "worker"]
        .map(|name| format!("muster/v1/{name}.proto"));
    let protos = ours.into_iter().chain(["keda/externalscaler.proto".to_owned()]);
    let descriptors = protox::compile(protos, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("muster.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
