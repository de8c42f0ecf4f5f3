//! Figures as SVG: lines over two axes, and dots in rows.
//!
//! A figure brings its own paper, light or dark as the reader's system has it, so that it can be read on
//! any page. A server has the same colour and mark in all of them.

use std::fmt::Write as _;

use super::server::Server;

const WIDTH: f64 = 780.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 84.0;
/// What the lines' names need.
const RIGHT: f64 = 136.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 58.0;

/// Lines over two axes.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) x: Axis<'a>,
    pub(super) y: Axis<'a>,
    pub(super) lines: Vec<(Server, Vec<(f64, f64)>)>,
}

pub(super) struct Axis<'a> {
    /// What is on it, with its unit.
    pub(super) label: &'a str,
    pub(super) scale: Scale,
}

#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    Logarithmic,
}

/// An axis with the range of what is on it.
struct Ruler {
    scale: Scale,
    first: f64,
    last: f64,
    ticks: Vec<f64>,
}

impl Ruler {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        match scale {
            Scale::Linear => Self::linear(most),
            Scale::Logarithmic => {
                let least = values.filter(|value| *value > 0.0).fold(most, f64::min);
                Self::logarithmic(least, most)
            }
        }
    }

    /// At most six steps of 1, 2 or 5 times a power of ten.
    fn linear(most: f64) -> Self {
        let power = 10_f64.powf((most / 6.0).log10().floor());
        let mut steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter();
        let step = steps.find(|step| most / step <= 6.0);
        let step = step.unwrap_or(power * 10.0);
        let count = (most / step).ceil() as u32;
        Self {
            scale: Scale::Linear,
            first: 0.0,
            last: f64::from(count) * step,
            ticks: (0..=count).map(|at| f64::from(at) * step).collect(),
        }
    }

    /// From and to 1, 2 or 5 times a power of ten; in between, beyond two decades, only the powers.
    fn logarithmic(least: f64, most: f64) -> Self {
        let powers = least.log10().floor() as i32..=most.log10().ceil() as i32;
        let all = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|one| one * 10_f64.powi(power)));
        let first = all.clone().filter(|tick| *tick <= least * 1.0001);
        let first = first.fold(f64::MIN_POSITIVE, f64::max);
        let last = all
            .clone()
            .find(|tick| *tick >= most * 0.9999 && *tick > first);
        let last = last.unwrap_or(most);
        let is_wide = last / first > 500.0;
        let is_power = |tick: f64| (tick.log10() - tick.log10().round()).abs() < 1e-6;
        let within = all.filter(|tick| (first..=last).contains(tick));
        Self {
            scale: Scale::Logarithmic,
            first,
            last,
            ticks: within.filter(|tick| !is_wide || is_power(*tick)).collect(),
        }
    }

    /// Where on the axis, from 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let at = match self.scale {
            Scale::Linear => value / self.last,
            Scale::Logarithmic => (value / self.first).log10() / (self.last / self.first).log10(),
        };
        at.clamp(0.0, 1.0)
    }
}

impl Plot<'_> {
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let across = Ruler::new(self.x.scale, points().map(|point| point.0));
        let up = Ruler::new(self.y.scale, points().map(|point| point.1));
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let x = |value| LEFT + across.at(value) * (right - LEFT);
        let y = |value| bottom - up.at(value) * (bottom - TOP);

        let mut svg = head(WIDTH, HEIGHT, self.title);
        for tick in &across.ticks {
            let at = x(*tick);
            _ = write!(
                svg,
                r#"<path class="grid" d="M{at:.1} {TOP}V{bottom}"/><text x="{at:.1}" y="{}" text-anchor="middle">{}</text>"#,
                bottom + 18.0,
                short(*tick)
            );
        }
        for tick in &up.ticks {
            let at = y(*tick);
            _ = write!(
                svg,
                r#"<path class="grid" d="M{LEFT} {at:.1}H{right}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                at + 4.0,
                short(*tick)
            );
        }
        let (middle, centre) = ((LEFT + right) / 2.0, (TOP + bottom) / 2.0);
        _ = write!(
            svg,
            r#"<text x="{middle}" y="{}" text-anchor="middle">{}</text><text transform="translate(18 {centre}) rotate(-90)" text-anchor="middle">{}</text>"#,
            HEIGHT - 14.0,
            escape(self.x.label),
            escape(self.y.label),
        );
        for (server, points) in &self.lines {
            let class = class(*server);
            let way = points.iter().map(|point| (x(point.0), y(point.1)));
            let joined: Vec<_> = way.clone().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            _ = write!(
                svg,
                r#"<path class="{class} line" d="M{}"/>"#,
                joined.join("L")
            );
            for (x, y) in way {
                svg += &mark(*server, x, y);
            }
        }
        let ends = self.lines.iter().filter_map(|(server, points)| {
            let last = points.last()?;
            Some((y(last.1), x(last.0), *server))
        });
        for (at, end, server) in apart(ends.collect()) {
            let from = end + 9.0;
            _ = write!(
                svg,
                r#"<text class="{} name" x="{from:.1}" y="{:.1}">{}</text>"#,
                class(server),
                at + 4.0,
                server.title()
            );
        }
        svg + "</svg>\n"
    }
}

/// Names at the ends of lines, moved down where they would cover each other.
fn apart(mut names: Vec<(f64, f64, Server)>) -> Vec<(f64, f64, Server)> {
    const LINE: f64 = 15.0;
    names.sort_by(|one, other| one.0.total_cmp(&other.0));
    for at in 1..names.len() {
        names[at].0 = names[at].0.max(names[at - 1].0 + LINE);
    }
    // What went over the edge comes back, and pushes the others up.
    let mut most = HEIGHT - BOTTOM;
    for name in names.iter_mut().rev() {
        name.0 = name.0.min(most);
        most = name.0 - LINE;
    }
    names
}

/// A row of dots for each name, over a logarithmic axis that begins with 1.
pub(super) fn dots(title: &str, label: &str, rows: &[(String, Vec<(Server, f64)>)]) -> String {
    const ROW: f64 = 26.0;
    const LEGEND: f64 = 74.0;
    let bottom = LEGEND + ROW * rows.len() as f64;
    let (left, right) = (LEFT + 16.0, WIDTH - 28.0);
    let values = rows.iter().flat_map(|(_, dots)| dots).map(|dot| dot.1);
    let across = Ruler::new(Scale::Logarithmic, values.chain([1.0]));
    let x = |value| left + across.at(value) * (right - left);

    let mut svg = head(WIDTH, bottom + 50.0, title);
    for tick in &across.ticks {
        let at = x(*tick);
        _ = write!(
            svg,
            r#"<path class="grid" d="M{at:.1} {LEGEND}V{bottom}"/><text x="{at:.1}" y="{}" text-anchor="middle">{}×</text>"#,
            bottom + 18.0,
            short(*tick)
        );
    }
    _ = write!(
        svg,
        r#"<text x="{}" y="{}" text-anchor="middle">{}</text>"#,
        (left + right) / 2.0,
        bottom + 40.0,
        escape(label)
    );
    let mut servers: Vec<Server> = Vec::new();
    for (row, (name, dots)) in rows.iter().enumerate() {
        let at = LEGEND + ROW * (row as f64 + 0.5);
        _ = write!(
            svg,
            r#"<path class="grid" d="M{left} {at}H{right}"/><text x="{}" y="{}" text-anchor="end">{}</text>"#,
            left - 8.0,
            at + 4.0,
            escape(name)
        );
        // Ours is drawn last and lies on top.
        for (server, value) in dots.iter().rev() {
            svg += &mark(*server, x(*value), at);
            if !servers.contains(server) {
                servers.insert(0, *server);
            }
        }
    }
    let mut at = left;
    for server in servers {
        svg += &mark(server, at, 52.0);
        _ = write!(
            svg,
            r#"<text class="{} name" x="{}" y="56">{}</text>"#,
            class(server),
            at + 9.0,
            server.title()
        );
        at += 34.0 + 7.5 * server.title().len() as f64;
    }
    svg + "</svg>\n"
}

fn head(width: f64, height: f64, title: &str) -> String {
    let title = escape(title);
    let mut style = "text{font:13px system-ui,sans-serif}.title{font-size:15px;font-weight:600}\
                     .name{font-weight:600}.line{fill:none;stroke-width:2}.grid{fill:none}"
        .to_owned();
    style += &colours("#ffffff", "#1f2328", "#d8dee4", 0);
    let dark = colours("#0d1117", "#e6edf3", "#30363d", 1);
    _ = write!(style, "@media(prefers-color-scheme:dark){{{dark}}}");
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}"><style>{style}</style><rect class="paper" width="{width}" height="{height}"/><text class="title" x="{LEFT}" y="26">{title}</text>"#
    )
}

/// Light and dark.
fn colour(server: Server) -> [&'static str; 2] {
    match server {
        Server::Floor | Server::FloorJoined => ["#57606a", "#9198a1"],
        Server::Listen => ["#0969da", "#58a6ff"],
        Server::Axum | Server::Service | Server::Tls | Server::TwoShards => ["#1b7c83", "#56d4dd"],
        Server::Socketioxide => ["#bc4c00", "#f0883e"],
        Server::Beside => ["#9a6700", "#d29922"],
        Server::Bun => ["#1a7f37", "#3fb950"],
        Server::Node => ["#8250df", "#bc8cff"],
        Server::Python => ["#bf3989", "#f778ba"],
    }
}

fn colours(paper: &str, ink: &str, grid: &str, scheme: usize) -> String {
    let mut style = format!(".paper{{fill:{paper}}}text{{fill:{ink}}}.grid{{stroke:{grid}}}");
    for server in Server::ALL {
        let (class, colour) = (class(server), colour(server)[scheme]);
        _ = write!(
            style,
            ".{class}{{fill:{colour};stroke:{colour}}}.{class}.name{{stroke:none}}.{class}.line{{fill:none}}"
        );
    }
    style
}

fn class(server: Server) -> &'static str {
    server.key()
}

/// A circle for ours, other shapes for others, so that the colour is not all that tells them apart.
fn mark(server: Server, x: f64, y: f64) -> String {
    let shape = match server {
        Server::Axum
        | Server::Beside
        | Server::Listen
        | Server::Service
        | Server::Tls
        | Server::TwoShards => {
            return format!(
                r#"<circle class="{}" cx="{x:.1}" cy="{y:.1}" r="4.5"/>"#,
                class(server)
            );
        }
        Server::Floor | Server::FloorJoined => "m-5 -1.5h10v3h-10z",
        Server::Socketioxide => "m-4 -4h8v8h-8z",
        Server::Bun => "m0 -5.5l5 9.5h-10z",
        Server::Node => "m0 -6l5.5 6l-5.5 6l-5.5 -6z",
        Server::Python => "m0 5.5l5 -9.5h-10z",
    };
    format!(
        r#"<path class="{}" d="M{x:.1} {y:.1}{shape}"/>"#,
        class(server)
    )
}

/// 1000 as 1k: short enough for an axis.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", round(value / 1e6)),
        value if value >= 1e3 => format!("{}k", round(value / 1e3)),
        value => round(value),
    }
}

fn round(value: f64) -> String {
    format!("{}", (value * 1e3).round() / 1e3)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_around_the_values() {
        let ticks = |scale, values: &[f64]| Ruler::new(scale, values.iter().copied()).ticks;
        assert_eq!(ticks(Scale::Linear, &[3.0, 27_000.0])[..2], [0.0, 5_000.0]);
        assert_eq!(ticks(Scale::Linear, &[27_000.0]).last(), Some(&30_000.0));
        let sizes = Ruler::new(Scale::Logarithmic, [10.0, 100.0, 15_000.0].into_iter());
        assert_eq!(sizes.ticks, [10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(sizes.last, 20_000.0);
        assert_eq!(
            ticks(Scale::Logarithmic, &[70.0, 150.0]),
            [50.0, 100.0, 200.0]
        );
        assert_eq!(ticks(Scale::Logarithmic, &[65.0, 65.0]), [50.0, 100.0]);
        assert_eq!(ticks(Scale::Logarithmic, &[100.0]), [100.0, 200.0]);
    }

    #[test]
    fn a_ruler_begins_at_its_first_tick_and_ends_at_its_last() {
        let ruler = Ruler::new(Scale::Logarithmic, [10.0, 1_000.0].into_iter());
        let at = [10.0, 100.0, 1_000.0].map(|value| ruler.at(value));
        assert_eq!(at, [0.0, 0.5, 1.0]);
        let ruler = Ruler::new(Scale::Linear, [6.0].into_iter());
        assert_eq!(ruler.at(3.0), 0.5);
    }

    #[test]
    fn names_of_lines_do_not_cover_each_other_nor_leave_the_figure() {
        let bottom = HEIGHT - BOTTOM;
        let names = vec![
            (bottom, 0.0, Server::Bun),
            (bottom - 1.0, 0.0, Server::Node),
            (100.0, 0.0, Server::Floor),
            (101.0, 0.0, Server::Listen),
        ];
        let places: Vec<_> = apart(names).into_iter().map(|name| name.0).collect();
        assert!(
            places.windows(2).all(|two| two[1] - two[0] >= 15.0),
            "{places:?}"
        );
        assert!(places.iter().all(|place| *place <= bottom), "{places:?}");
    }

    #[test]
    fn a_figure_has_its_axes_and_everybody_in_both_schemes() {
        let line = |server| (server, vec![(10.0, 200.0), (15_000.0, 230.0)]);
        let plot = Plot {
            title: "cost & size",
            x: Axis {
                label: "receivers",
                scale: Scale::Logarithmic,
            },
            y: Axis {
                label: "user instructions",
                scale: Scale::Logarithmic,
            },
            lines: vec![line(Server::Listen), line(Server::Bun)],
        };
        let svg = plot.svg();
        for part in [
            "cost &amp; size",
            "receivers",
            "user instructions",
            ">ours<",
            ">Bun<",
            ">10k<",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(svg.contains("prefers-color-scheme:dark"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }

    #[test]
    fn numbers_on_an_axis_are_short() {
        let short = [0.5, 200.0, 15_000.0, 2e6].map(short);
        assert_eq!(short, ["0.5", "200", "15k", "2M"]);
    }
}
