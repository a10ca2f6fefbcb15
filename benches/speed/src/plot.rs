//! A plot as SVG, by hand: lines over seconds, with milliseconds on a logarithmic axis.

use std::fmt::Write as _;

pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    /// Seconds, and milliseconds above zero.
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 50.0;

/// From 1 ms to 1 s.
const DECADES: [(f64, &str); 4] =
    [(1.0, "1 ms"), (10.0, "10 ms"), (100.0, "100 ms"), (1000.0, "1 s")];

/// Draws `lines`, the first at the bottom.
pub(crate) fn plot(title: &str, x_title: &str, y_title: &str, lines: &[Line]) -> String {
    let end = lines.iter().flat_map(|line| &line.points).map(|point| point.0).fold(1.0, f64::max);
    let end = end.ceil();
    let x = |seconds: f64| LEFT + seconds / end * (WIDTH - LEFT - RIGHT);
    let y = |milliseconds: f64| {
        let decade = milliseconds.clamp(1.0, 1000.0).log10() / 3.0;
        HEIGHT - BOTTOM - decade * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = String::new();
    let mut put = |element: String| writeln!(svg, "{element}").expect("a string takes all");
    put(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n<title>{title}</title>"
    ));
    // A background of its own: a page may be dark.
    put(format!("<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>"));
    put(format!("<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" fill=\"#222\">{title}</text>"));
    for (value, label) in DECADES {
        let (at, right) = (y(value), WIDTH - RIGHT);
        put(format!("<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>"));
        put(text(LEFT - 8.0, at + 4.0, "end", label));
    }
    for second in (0..=end as u32).step_by(2) {
        let (at, bottom) = (x(second.into()), HEIGHT - BOTTOM);
        put(format!("<path d=\"M{at:.1} {bottom}v5\" stroke=\"#888\"/>"));
        put(text(at, bottom + 20.0, "middle", &second.to_string()));
    }
    put(text(f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 10.0, "middle", x_title));
    let middle = f64::midpoint(TOP, HEIGHT - BOTTOM);
    put(format!(
        "<text transform=\"translate(20 {middle}) rotate(-90)\" text-anchor=\"middle\" \
         fill=\"#222\">{y_title}</text>"
    ));
    for (at, line) in lines.iter().enumerate() {
        let points: Vec<String> =
            line.points.iter().map(|(s, ms)| format!("{:.1},{:.1}", x(*s), y(*ms))).collect();
        let Line { name, colour, .. } = line;
        put(format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" \
             stroke-linejoin=\"round\" points=\"{}\"/>",
            points.join(" ")
        ));
        let from = LEFT + at as f64 * 180.0;
        put(format!("<path d=\"M{from} 42h24\" stroke=\"{colour}\" stroke-width=\"3\"/>"));
        put(text(from + 32.0, 46.0, "start", name));
    }
    put("</svg>".to_owned());
    svg
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222\">{text}</text>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decade_is_as_high_as_the_next_and_nothing_leaves_the_frame() {
        let points = vec![(0.0, 1.0), (1.0, 10.0), (2.0, 100.0), (2.0, 99_999.0), (2.0, 0.0)];
        let svg = plot("t", "x", "y", &[Line { name: "n", colour: "#000", points }]);
        let points = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let points: Vec<_> = points.split(' ').map(|p| p.split_once(',').unwrap()).collect();
        assert_eq!(points[0], ("80.0", "350.0"));
        assert_eq!(points[1], ("510.0", "253.3"));
        assert_eq!(points[2], ("940.0", "156.7"));
        assert_eq!((points[3].1, points[4].1), ("60.0", "350.0"));
    }
}
