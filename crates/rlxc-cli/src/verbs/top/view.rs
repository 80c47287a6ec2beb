//! What `rlxc top` draws: columns, order, table, sparklines. Knows nothing of keys and containers'
//! control.

use std::cmp::Ordering;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table, TableState};

use super::watch::Track;
use crate::output::safe;

/// A column: its title, its width, how it is shown, how it sorts.
pub(super) struct Column {
    pub(super) title: &'static str,
    width: u16,
    /// The key that sorts by it
    pub(super) key: char,
    cell: fn(&Track) -> String,
    order: fn(&Track, &Track) -> Ordering,
}

fn number(a: f64, b: f64) -> Ordering {
    b.total_cmp(&a)
}

/// All columns; numbers sort by the largest first.
pub(super) const COLUMNS: [Column; 15] = [
    Column {
        title: "NAME",
        width: 18,
        key: 'n',
        cell: |t| safe(&t.sample.name),
        order: |a, b| a.sample.name.cmp(&b.sample.name),
    },
    Column {
        title: "STATE",
        width: 8,
        key: 'e',
        cell: |t| t.sample.state.map_or("UNKNOWN", rlxc::State::name).into(),
        order: |a, b| {
            a.sample
                .state
                .map(rlxc::State::name)
                .cmp(&b.sample.state.map(rlxc::State::name))
        },
    },
    Column {
        title: "CPU%",
        width: 6,
        key: 'c',
        cell: |t| format!("{:.1}", t.cpu),
        order: |a, b| number(a.cpu, b.cpu),
    },
    Column {
        title: "CPU-TIME",
        width: 9,
        key: 'u',
        cell: |t| time(t.sample.cpu_ns / 1_000_000_000),
        order: |a, b| b.sample.cpu_ns.cmp(&a.sample.cpu_ns),
    },
    Column {
        title: "MEMORY",
        width: 8,
        key: 'm',
        cell: |t| size(t.sample.memory as f64),
        order: |a, b| b.sample.memory.cmp(&a.sample.memory),
    },
    Column {
        title: "SWAP",
        width: 8,
        key: 's',
        cell: |t| known(t.sample.swap),
        order: |a, b| b.sample.swap.cmp(&a.sample.swap),
    },
    Column {
        title: "KERNEL",
        width: 8,
        key: 'k',
        cell: |t| known(t.sample.kernel),
        order: |a, b| b.sample.kernel.cmp(&a.sample.kernel),
    },
    Column {
        title: "READ/s",
        width: 8,
        key: 'b',
        cell: |t| size(t.io_read),
        order: |a, b| number(a.io_read + a.io_write, b.io_read + b.io_write),
    },
    Column {
        title: "WRITE/s",
        width: 8,
        key: 'w',
        cell: |t| size(t.io_write),
        order: |a, b| number(a.io_write, b.io_write),
    },
    Column {
        title: "RECV/s",
        width: 8,
        key: 'i',
        cell: |t| size(t.received),
        order: |a, b| number(a.received, b.received),
    },
    Column {
        title: "SENT/s",
        width: 8,
        key: 'o',
        cell: |t| size(t.sent),
        order: |a, b| number(a.sent, b.sent),
    },
    Column {
        title: "PIDS",
        width: 5,
        key: 'p',
        cell: |t| t.sample.pids.map_or_else(|| "-".into(), |n| n.to_string()),
        order: |a, b| b.sample.pids.cmp(&a.sample.pids),
    },
    Column {
        title: "PSI-C",
        width: 5,
        key: 'x',
        cell: |t| pressure(t.sample.pressure[0]),
        order: |a, b| by_pressure(a, b, 0),
    },
    Column {
        title: "PSI-M",
        width: 5,
        key: 'y',
        cell: |t| pressure(t.sample.pressure[1]),
        order: |a, b| by_pressure(a, b, 1),
    },
    Column {
        title: "PSI-I",
        width: 5,
        key: 'z',
        cell: |t| pressure(t.sample.pressure[2]),
        order: |a, b| by_pressure(a, b, 2),
    },
];

fn by_pressure(a: &Track, b: &Track, which: usize) -> Ordering {
    let of = |t: &Track| t.sample.pressure[which].unwrap_or(-1.0);
    number(of(a), of(b))
}

fn pressure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |share| format!("{share:.1}"))
}

fn known(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".into(), |bytes| size(bytes as f64))
}

fn time(seconds: u64) -> String {
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// A size in few characters: `12.3M`.
pub(super) fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["", "K", "M", "G", "T"] {
        if value < 1024.0 || unit == "T" {
            return match unit {
                "" => format!("{value:.0}"),
                unit if value < 100.0 => format!("{value:.1}{unit}"),
                unit => format!("{value:.0}{unit}"),
            };
        }
        value /= 1024.0;
    }
    String::new()
}

/// Puts tracks into the order of a column; equal ones by name.
pub(super) fn sort(tracks: &mut [&Track], column: usize, reverse: bool) {
    let by = COLUMNS.get(column).unwrap_or(&COLUMNS[0]);
    tracks.sort_by(|a, b| {
        let order = (by.order)(a, b);
        let order = if reverse { order.reverse() } else { order };
        order.then_with(|| a.sample.name.cmp(&b.sample.name))
    });
}

/// Everything that a picture is made of.
pub(super) struct Picture<'a> {
    pub(super) tracks: &'a [&'a Track],
    pub(super) all: usize,
    pub(super) selected: Option<usize>,
    pub(super) sort: usize,
    pub(super) reverse: bool,
    pub(super) delay: std::time::Duration,
    pub(super) filter: &'a str,
    /// The last line: a question, a message, or what the keys are
    pub(super) bottom: &'a str,
    pub(super) help: bool,
    pub(super) colours: bool,
}

const LEAST: (u16, u16) = (40, 6);

pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("terminal too small (at least {}x{})", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let lines = if area.height >= 16 { 5 } else { 0 };
    let parts = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(lines),
        Constraint::Length(1),
    ]);
    let [title, table, graphs, bottom] = parts.areas(area);
    frame.render_widget(heading(picture), title);
    draw_table(frame, picture, table);
    let chosen = picture.selected.and_then(|at| picture.tracks.get(at));
    if let Some(track) = chosen.filter(|_| lines > 0) {
        draw_graphs(frame, picture, track, graphs);
    }
    frame.render_widget(Paragraph::new(picture.bottom), bottom);
    if picture.help {
        draw_help(frame, area);
    }
}

fn heading(picture: &Picture<'_>) -> Paragraph<'static> {
    let column = COLUMNS.get(picture.sort).unwrap_or(&COLUMNS[0]);
    let filter = match picture.filter {
        "" => String::new(),
        filter => format!(" · /{}", safe(filter)),
    };
    let text = format!(
        " rlxc top · {} of {} running · by {}{}{filter} · every {} s",
        picture.tracks.len(),
        picture.all,
        column.title,
        if picture.reverse { " (reversed)" } else { "" },
        picture.delay.as_secs()
    );
    let style = Style::new().add_modifier(Modifier::BOLD);
    Paragraph::new(Line::styled(text, style))
}

fn draw_table(frame: &mut Frame<'_>, picture: &Picture<'_>, area: Rect) {
    // Columns that have no room are left out from the right; the one that sorts stays.
    let spark = 12;
    let mut room = area.width.saturating_sub(spark + 1);
    let mut shown = Vec::new();
    for (at, column) in COLUMNS.iter().enumerate() {
        if room > column.width || at == picture.sort {
            room = room.saturating_sub(column.width + 1);
            shown.push((at, column));
        }
    }
    let header = shown.iter().map(|(at, column)| {
        let style = match *at == picture.sort {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new().add_modifier(Modifier::UNDERLINED),
        };
        let width = usize::from(column.width);
        Cell::from(Span::styled(align(column.title, *at, width), style))
    });
    let header = Row::new(header.chain([Cell::from("CPU")]));
    let rows = picture.tracks.iter().map(|track| {
        let cells = shown.iter().map(|(at, column)| {
            let width = usize::from(column.width);
            let cell = Cell::from(align(&(column.cell)(track), *at, width));
            match (picture.colours, column.title, track.cpu) {
                (true, "CPU%", 80.0..) => cell.style(Style::new().fg(Color::Red)),
                (true, "CPU%", 30.0..) => cell.style(Style::new().fg(Color::Yellow)),
                _ => cell,
            }
        });
        let frozen = track.sample.state == Some(rlxc::State::Frozen);
        let style = match picture.colours && frozen {
            true => Style::new().fg(Color::Cyan),
            false => Style::new(),
        };
        let bar = sparks(track, usize::from(spark));
        Row::new(cells.chain([Cell::from(bar)])).style(style)
    });
    let widths = shown
        .iter()
        .map(|(_, column)| Constraint::Length(column.width))
        .chain([Constraint::Length(spark)]);
    let table = Table::new(rows, widths)
        .header(header)
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected(picture.selected);
    frame.render_stateful_widget(table, area, &mut state);
}

/// Texts to the left, numbers to the right.
fn align(text: &str, column: usize, width: usize) -> String {
    match column {
        0 | 1 => format!("{text:<width$.width$}"),
        _ => format!("{text:>width$.width$}"),
    }
}

/// The latest CPU shares as bars of eighths; a full one is 100 % or the largest of them.
fn sparks(track: &Track, width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let history = &track.history[0];
    let latest = history.iter().skip(history.len().saturating_sub(width));
    let most = history.iter().copied().max().unwrap_or(0).max(1000);
    latest
        .map(|value| BARS[(value * 7 / most).min(7) as usize])
        .collect()
}

fn draw_graphs(frame: &mut Frame<'_>, picture: &Picture<'_>, track: &Track, area: Rect) {
    let thirds = Layout::horizontal([Constraint::Ratio(1, 3); 3]);
    let areas: [Rect; 3] = thirds.areas(area);
    let titles = [
        format!("{} CPU {:.1} %", safe(&track.sample.name), track.cpu),
        format!("memory {}", size(track.sample.memory as f64)),
        format!("network {}/s", size(track.received + track.sent)),
    ];
    let colours = [Color::Green, Color::Blue, Color::Magenta];
    for (((area, title), history), colour) in areas
        .into_iter()
        .zip(titles)
        .zip(&track.history)
        .zip(colours)
    {
        let width = usize::from(area.width.saturating_sub(2));
        let latest: Vec<u64> = history
            .iter()
            .skip(history.len().saturating_sub(width))
            .copied()
            .collect();
        let style = match picture.colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        };
        let graph = Sparkline::default()
            .block(Block::bordered().title(title))
            .data(&latest)
            .style(style);
        frame.render_widget(graph, area);
    }
}

const HELP: &str = "\
↑ ↓ j  select               < >    column to sort by
n c m s k b  sort by name, CPU, memory, swap,
             kernel memory, block I/O
e u w i o p  … state, CPU time, writes,
             received, sent, processes
x y z  … pressure of CPU, memory, I/O
r      reverse              /      filter by name
+ -    delay                ?      this help
Enter  shell inside         F      freeze or thaw
S      shut down            K      kill
q      quit";

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = (56.min(area.width), 13.min(area.height));
    let popup = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, popup);
    let block = Block::bordered().title(" keys ");
    frame.render_widget(Paragraph::new(HELP).block(block), popup);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let all = [0.0, 1023.0, 1536.0, 150.0 * 1024.0 * 1024.0].map(size);
        assert_eq!(all, ["0", "1023", "1.5K", "150M"]);
    }

    #[test]
    fn no_two_columns_share_a_key() {
        let mut keys: Vec<char> = COLUMNS.iter().map(|c| c.key).collect();
        keys.extend(['r', 'q', 'j', '/', '+', '-', '?', 'F', 'S', 'K', '<', '>']);
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
