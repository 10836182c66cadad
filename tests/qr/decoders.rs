//! Decoders that know nothing of each other.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::GrayImage;

/// What rqrr reads.
pub fn rqrr(image: &GrayImage) -> Option<String> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let raw = image.as_raw();
    let mut image =
        rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| raw[y * width + x]);
    let grids = image.detect_grids();
    grids.iter().find_map(|grid| grid.decode().ok()).map(|(_, content)| content)
}

/// Saves an image where [`zbar`] finds it.
pub fn save(image: &GrayImage, path: &Path) {
    let mut pgm = format!("P5 {} {} 255\n", image.width(), image.height()).into_bytes();
    pgm.extend(image.as_raw());
    fs::write(path, pgm).unwrap();
}

/// What zbar reads in each file of a folder, by the file's name.
pub fn zbar(folder: &Path) -> HashMap<String, String> {
    let mut files: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    if files.is_empty() {
        return HashMap::new();
    }
    let run = Command::new("zbarimg")
        .args(["--quiet", "--xml", "--set", "disable", "--set", "qrcode.enable"])
        .args(&files)
        .current_dir(folder)
        .output();
    let run = run.unwrap_or_else(|error| {
        panic!(
            "this test needs zbarimg ({error}): install zbar-tools with Debian's apt-get, or zbar \
             with Homebrew"
        )
    });
    let xml = String::from_utf8(run.stdout).unwrap();
    let mut read = HashMap::new();
    for source in xml.split("<source href='").skip(1) {
        let (file, rest) = source.split_once('\'').unwrap();
        if let Some((_, data)) = rest.split_once("<data><![CDATA[") {
            let (content, _) = data.split_once("]]></data>").unwrap();
            read.insert(file.to_owned(), content.to_owned());
        }
    }
    read
}

/// What zbar reads in a file. Its XML has no text with other than Latin letters.
pub fn zbar_raw(file: &Path) -> String {
    let run = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(file).output().unwrap();
    String::from_utf8(run.stdout).unwrap().trim_end().to_owned()
}

/// What `ZXing` reads in each file, in order: empty for none. `None` if `.ci/qr` has not installed it.
pub fn zxing(files: &[PathBuf]) -> Option<Vec<String>> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/zxing/bin/python");
    let read = "import sys, zxingcpp\nfrom PIL import Image\n\
                for file in sys.argv[1:]:\n    \
                found = zxingcpp.read_barcodes(Image.open(file).convert('L'))\n    \
                print(found[0].text if found else '')";
    let run = Command::new(&python).args(["-c", read]).args(files).output().ok()?;
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let lines = String::from_utf8(run.stdout).unwrap();
    Some(lines.lines().map(str::to_owned).collect())
}
