//! PNG from SVG.

use std::sync::Arc;

use gleaner_sdk::Error;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Pixels for each of the picture's points: sharp on screens of high density and in print.
const PIXELS_PER_POINT: f32 = 2.0;

/// The fonts that pictures are drawn with wherever the task runs; `fonts/README.md` says whence.
const FONTS: [&[u8]; 2] = [
    include_bytes!("../../fonts/Inter-Regular.subset.otf"),
    include_bytes!("../../fonts/Inter-SemiBold.subset.otf"),
];

/// The picture as PNG.
///
/// # Errors
/// When it is no picture that can be drawn; those written by this crate can.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>, Error> {
    let mut fonts = fontdb::Database::new();
    for font in FONTS {
        fonts.load_font_data(font.to_vec());
    }
    let options =
        Options { fontdb: Arc::new(fonts), font_family: "Inter".to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(PIXELS_PER_POINT)
        .ok_or_else(|| Error::new("a picture has no size"))?;
    let mut pixels = Pixmap::new(size.width(), size.height())
        .ok_or_else(|| Error::new("a picture is too large"))?;
    let transform = Transform::from_scale(PIXELS_PER_POINT, PIXELS_PER_POINT);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels.encode_png().map_err(Error::new)
}
