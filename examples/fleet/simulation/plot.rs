//! A plot as SVG, by hand: lines over the size of a fleet, both axes logarithmic.

use std::fmt::Write as _;

pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    pub(crate) dashed: bool,
    /// Processes, and token requests an hour.
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 90.0;
const BOTTOM: f64 = 50.0;

/// From 1 to 1,000.
const X_DECADES: f64 = 3.0;

/// From half a request to 100,000.
const LEAST: f64 = 0.5;
const Y_LABELS: [(f64, &str); 6] =
    [(1.0, "1"), (10.0, "10"), (100.0, "100"), (1e3, "1,000"), (1e4, "10,000"), (1e5, "100,000")];

pub(crate) fn plot(title: &str, x_title: &str, y_title: &str, lines: &[Line]) -> String {
    let x = |processes: f64| LEFT + processes.log10() / X_DECADES * (WIDTH - LEFT - RIGHT);
    let y = |requests: f64| {
        let part = (requests.clamp(LEAST, 1e5) / LEAST).log10() / (1e5 / LEAST).log10();
        HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
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
    for (value, label) in Y_LABELS {
        let (at, right) = (y(value), WIDTH - RIGHT);
        put(format!("<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>"));
        put(text(LEFT - 8.0, at + 4.0, "end", label));
    }
    for processes in [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] {
        let (at, bottom) = (x(processes.into()), HEIGHT - BOTTOM);
        put(format!("<path d=\"M{at:.1} {bottom}v5\" stroke=\"#888\"/>"));
        put(text(at, bottom + 20.0, "middle", &processes.to_string()));
    }
    put(text(f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 10.0, "middle", x_title));
    let middle = f64::midpoint(TOP, HEIGHT - BOTTOM);
    put(format!(
        "<text transform=\"translate(16 {middle}) rotate(-90)\" text-anchor=\"middle\" \
         fill=\"#222\">{y_title}</text>"
    ));
    for (at, line) in lines.iter().enumerate() {
        let points: Vec<String> =
            line.points.iter().map(|(n, r)| format!("{:.1},{:.1}", x(*n), y(*r))).collect();
        let Line { name, colour, .. } = line;
        let dashes = if line.dashed { " stroke-dasharray=\"6 5\"" } else { "" };
        put(format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes} \
             stroke-linejoin=\"round\" points=\"{}\"/>",
            points.join(" ")
        ));
        let (from, line) = (LEFT + (at / 2) as f64 * 420.0, 44.0 + (at % 2) as f64 * 20.0);
        put(format!(
            "<path d=\"M{from} {line}h30\" stroke=\"{colour}\" stroke-width=\"3\"{dashes}/>"
        ));
        put(text(from + 38.0, line + 4.0, "start", name));
    }
    put("</svg>".to_owned());
    svg
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222\">{text}</text>")
}
