use crate::draw::Picture;
use crate::text::{clean, escape, fit, width};

/// A picture, and where on the board it stands, in pixels.
#[derive(Clone, Debug)]
pub struct Tile {
    /// From the left.
    pub x: u32,
    /// From above, below the board's title.
    pub y: u32,
    /// What stands there.
    pub picture: Picture,
}

const HEAD: u32 = 48;
const MARGIN: u32 = 12;
const TITLE: f64 = 20.0;

/// Several pictures on one, under a title.
pub fn board(title: &str, width_px: u32, tiles: &[Tile]) -> String {
    let title = clean(title);
    let bottom = tiles.iter().map(|it| it.y + it.picture.size.height()).max().unwrap_or(80);
    let (full, height) = (width_px + 2 * MARGIN, HEAD + bottom + MARGIN);
    let shown = fit(&title, TITLE * 1.06, f64::from(width_px));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{full}\" height=\"{height}\" viewBox=\"0 0 {full} {height}\" role=\"img\">\n\
         <title>{}</title>\n\
         <rect width=\"{full}\" height=\"{height}\" fill=\"#f3f4f6\"/>\n\
         <text x=\"{}\" y=\"31\" font-family=\"Helvetica, Arial, Liberation Sans, sans-serif\" font-size=\"{TITLE}\" font-weight=\"bold\" fill=\"#1f2937\">{}</text>\n",
        escape(&title),
        MARGIN + 2,
        escape(&shown),
    );
    for tile in tiles {
        let (x, y) = (MARGIN + tile.x, HEAD + tile.y);
        let (wide, high) = (tile.picture.size.width(), tile.picture.size.height());
        out.push_str(&format!(
            "<svg x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" viewBox=\"{}\">\n{}</svg>\n\
             <rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" rx=\"4\" fill=\"none\" stroke=\"#e5e7eb\"/>\n",
            tile.picture.view_box(),
            tile.picture.inner,
        ));
    }
    if tiles.is_empty() {
        let text = "No widgets";
        let x = f64::from(full) / 2.0 - width(text, 13.0) / 2.0;
        out.push_str(&format!(
            "<text x=\"{x}\" y=\"{}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#6b7280\">{text}</text>\n",
            HEAD + 30,
        ));
    }
    out.push_str("</svg>\n");
    out
}
