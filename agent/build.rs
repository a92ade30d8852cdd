//! Embeds the files that `make web` has made, if there are any: a checkout without npm
//! builds too, and its pages show plain text.

use std::{env, fmt::Write, fs, io, path::Path};

fn main() -> Result<(), io::Error> {
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let web = Path::new(&root).join("web");
    let dist = web.join("dist");
    let is_built = dist.is_dir();
    let watched = if is_built { &dist } else { &web };
    let mut text = "const FILES: &[(&str, &[u8])] = &[\n".to_owned();
    if is_built {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&dist)? {
            paths.push(entry?.path());
        }
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str());
            let name =
                name.ok_or_else(|| io::Error::other(format!("the name of {}", path.display())))?;
            let path = path
                .to_str()
                .ok_or_else(|| io::Error::other("the path of the checkout is not UTF-8"))?;
            writeln!(text, "({name:?}, include_bytes!({path:?})),").map_err(io::Error::other)?;
        }
    }
    text += "];\n";
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("assets.rs"), text)?;
    println!("cargo::rerun-if-changed={}", watched.display());
    Ok(())
}
