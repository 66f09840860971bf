//! Where tables stand and how lines run between them: a layered drawing, from what is referred to on the left to what
//! refers on the right.
//!
//! References that run in circles are turned around while layers are found. Lines that pass a layer hold a place of their
//! own in it, so that they run between tables and not across them. The order within layers is improved by sweeps
//! (barycentres and swaps) as long as fewer lines cross; heights are then chosen so that lines are as straight as the
//! order lets them be.

use std::collections::VecDeque;

/// A box to place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A line from one box to another: each end at a height below its box's top.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// The box that refers.
    pub(super) from: usize,
    pub(super) from_port: f64,
    /// The box that is referred to.
    pub(super) to: usize,
    pub(super) to_port: f64,
}

/// A drawing.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The left upper corner of each box.
    pub(super) corners: Vec<(f64, f64)>,
    /// For each line its points, from the box that refers to the other; between them it runs level.
    pub(super) routes: Vec<Vec<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Between two boxes above each other.
const ROW_GAP: f64 = 26.0;
/// Between two lines, or a line and a box, that pass above each other.
const LINE_GAP: f64 = 14.0;
/// Between two layers.
const LAYER_GAP: f64 = 78.0;
/// Between parts that have no line in common.
const PART_GAP: f64 = 44.0;
/// How much wider than high a drawing should be.
const ASPECT: f64 = 1.5;

/// Places the boxes.
pub(super) fn layout(sizes: &[Size], lines: &[Line]) -> Layout {
    let parts = parts(sizes.len(), lines);
    let mut drawn = Vec::new();
    let mut alone = Vec::new();
    for part in parts {
        if part.len() == 1 {
            alone.push(part[0]);
        } else {
            drawn.push(Part::new(&part, sizes, lines).place());
        }
    }
    drawn.sort_by(|a, b| (b.width * b.height).total_cmp(&(a.width * a.height)));
    if !alone.is_empty() {
        let wide = drawn.iter().map(|it| it.width).fold(0.0, f64::max);
        drawn.push(grid(&alone, sizes, lines, wide));
    }
    pack(sizes.len(), lines.len(), drawn)
}

/// The boxes of each part that hangs together.
fn parts(count: usize, lines: &[Line]) -> Vec<Vec<usize>> {
    let mut neighbours = vec![Vec::new(); count];
    for line in lines {
        neighbours[line.from].push(line.to);
        neighbours[line.to].push(line.from);
    }
    let mut seen = vec![false; count];
    let mut parts = Vec::new();
    for start in 0..count {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let (mut part, mut queue) = (Vec::new(), VecDeque::from([start]));
        while let Some(at) = queue.pop_front() {
            part.push(at);
            for next in &neighbours[at] {
                if !std::mem::replace(&mut seen[*next], true) {
                    queue.push_back(*next);
                }
            }
        }
        part.sort_unstable();
        parts.push(part);
    }
    parts
}

/// A part that was placed by itself.
struct Placed {
    boxes: Vec<(usize, (f64, f64))>,
    routes: Vec<(usize, Vec<(f64, f64)>)>,
    width: f64,
    height: f64,
}

/// A box, or the place of a line that passes a layer.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Which box; `None` for a line's place.
    of: Option<usize>,
    height: f64,
    layer: usize,
    /// The upper edge.
    y: f64,
}

impl Node {
    fn gap(&self, next: &Self) -> f64 {
        if self.of.is_some() && next.of.is_some() { ROW_GAP } else { LINE_GAP }
    }
}

/// A piece of a line between two neighbouring layers: nodes and the heights below their upper edges.
#[derive(Clone, Copy, Debug)]
struct Piece {
    left: usize,
    left_port: f64,
    right: usize,
    right_port: f64,
}

struct Part<'a> {
    sizes: &'a [Size],
    lines: &'a [Line],
    nodes: Vec<Node>,
    /// The nodes of each layer, from above.
    layers: Vec<Vec<usize>>,
    pieces: Vec<Piece>,
    /// For each node the pieces to its left and to its right.
    to_left: Vec<Vec<usize>>,
    to_right: Vec<Vec<usize>>,
    /// For each line of this part its nodes, from the left.
    chains: Vec<(usize, Vec<usize>)>,
    /// Lines from a box to itself.
    loops: Vec<usize>,
}

impl<'a> Part<'a> {
    fn new(boxes: &[usize], sizes: &'a [Size], lines: &'a [Line]) -> Self {
        let own: Vec<usize> =
            (0..lines.len()).filter(|at| boxes.binary_search(&lines[*at].from).is_ok()).collect();
        let layer_of = layers(boxes, sizes, lines, &own);
        let mut part = Self {
            sizes,
            lines,
            nodes: Vec::new(),
            layers: Vec::new(),
            pieces: Vec::new(),
            to_left: Vec::new(),
            to_right: Vec::new(),
            chains: Vec::new(),
            loops: Vec::new(),
        };
        let mut node_of = vec![usize::MAX; sizes.len()];
        for (at, of) in boxes.iter().enumerate() {
            node_of[*of] = part.add(Some(*of), sizes[*of].height, layer_of[at]);
        }
        for at in own {
            let line = &lines[at];
            if line.from == line.to {
                part.loops.push(at);
                continue;
            }
            let (a, b) = (node_of[line.from], node_of[line.to]);
            let ((left, left_port), (right, right_port)) =
                if part.nodes[a].layer < part.nodes[b].layer {
                    ((a, line.from_port), (b, line.to_port))
                } else {
                    ((b, line.to_port), (a, line.from_port))
                };
            let mut chain = vec![left];
            for layer in part.nodes[left].layer + 1..part.nodes[right].layer {
                chain.push(part.add(None, 2.0, layer));
            }
            chain.push(right);
            for (step, pair) in chain.windows(2).enumerate() {
                let port = |first: bool, port: f64| if first { port } else { 1.0 };
                let piece = Piece {
                    left: pair[0],
                    left_port: port(step == 0, left_port),
                    right: pair[1],
                    right_port: port(step + 2 == chain.len(), right_port),
                };
                part.to_right[piece.left].push(part.pieces.len());
                part.to_left[piece.right].push(part.pieces.len());
                part.pieces.push(piece);
            }
            part.chains.push((at, chain));
        }
        part
    }

    fn add(&mut self, of: Option<usize>, height: f64, layer: usize) -> usize {
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, Vec::new());
        }
        self.layers[layer].push(self.nodes.len());
        self.nodes.push(Node { of, height, layer, y: 0.0 });
        self.to_left.push(Vec::new());
        self.to_right.push(Vec::new());
        self.nodes.len() - 1
    }

    fn place(mut self) -> Placed {
        self.order();
        self.stack();
        for round in 0..16 {
            self.straighten(round % 2 == 0);
        }
        self.finish()
    }

    /// Orders the nodes of each layer so that few lines cross.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.layers.clone());
        for round in 0..24 {
            let rightwards = round % 2 == 0;
            let count = self.layers.len();
            for step in 1..count {
                let layer = if rightwards { step } else { count - 1 - step };
                self.by_barycentre(layer, rightwards);
            }
            self.swap_neighbours();
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
            if best.0 == 0 {
                break;
            }
        }
        self.layers = best.1;
    }

    /// For each node its place within its layer.
    fn ranks(&self) -> Vec<f64> {
        let mut ranks = vec![0.0; self.nodes.len()];
        for layer in &self.layers {
            let mut rank = 0.0;
            for node in layer {
                ranks[*node] = rank;
                rank += 1.0;
            }
        }
        ranks
    }

    fn by_barycentre(&mut self, layer: usize, rightwards: bool) {
        let ranks = self.ranks();
        let mut order: Vec<(f64, usize)> = self.layers[layer]
            .iter()
            .map(|node| {
                let ends = self.ends(*node, rightwards, |node, port| {
                    // Ports decide between lines from one table.
                    ranks[node] + 0.9 * port / self.nodes[node].height.max(1.0)
                });
                (mean(&ends).unwrap_or(ranks[*node]), *node)
            })
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.layers[layer] = order.into_iter().map(|it| it.1).collect();
    }

    /// What stands at the other ends of a node's lines, on its left or on its right.
    fn ends(&self, node: usize, left: bool, value: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let pieces = if left { &self.to_left[node] } else { &self.to_right[node] };
        let end = |at: &usize| {
            let it = &self.pieces[*at];
            if left { value(it.left, it.left_port) } else { value(it.right, it.right_port) }
        };
        pieces.iter().map(end).collect()
    }

    fn swap_neighbours(&mut self) {
        for layer in 0..self.layers.len() {
            let mut improved = true;
            let mut rounds = 0;
            while improved && rounds < 8 {
                improved = false;
                rounds += 1;
                let ranks = self.ranks();
                for at in 1..self.layers[layer].len() {
                    let (a, b) = (self.layers[layer][at - 1], self.layers[layer][at]);
                    if self.crossed(b, a, &ranks) < self.crossed(a, b, &ranks) {
                        self.layers[layer].swap(at - 1, at);
                        improved = true;
                    }
                }
            }
        }
    }

    /// How many lines of two nodes of one layer cross when `above` stands above `below`.
    fn crossed(&self, above: usize, below: usize, ranks: &[f64]) -> usize {
        let value = |node: usize, port: f64| ranks[node] + port / 10_000.0;
        let sides = [true, false].map(|left| {
            let (a, b) = (self.ends(above, left, value), self.ends(below, left, value));
            a.iter().map(|a| b.iter().filter(|b| a > b).count()).sum::<usize>()
        });
        sides[0] + sides[1]
    }

    fn crossings(&self) -> usize {
        let ranks = self.ranks();
        let height = |node: usize, port: f64| ranks[node] + port / 10_000.0;
        let mut all = 0;
        for layer in 0..self.layers.len() {
            let mut ends: Vec<(f64, f64)> = self.layers[layer]
                .iter()
                .flat_map(|node| &self.to_right[*node])
                .map(|at| &self.pieces[*at])
                .map(|it| (height(it.left, it.left_port), height(it.right, it.right_port)))
                .collect();
            ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            for (at, a) in ends.iter().enumerate() {
                all += ends[at + 1..].iter().filter(|b| b.0 > a.0 && b.1 < a.1).count();
            }
        }
        all
    }

    /// Puts the nodes of each layer below each other.
    fn stack(&mut self) {
        for layer in &self.layers {
            let mut y = 0.0;
            let mut before: Option<usize> = None;
            for node in layer {
                if let Some(before) = before {
                    y += self.nodes[before].gap(&self.nodes[*node]);
                }
                self.nodes[*node].y = y;
                y += self.nodes[*node].height;
                before = Some(*node);
            }
        }
    }

    /// Moves nodes to where their lines are level, as far as the order lets them.
    fn straighten(&mut self, rightwards: bool) {
        let count = self.layers.len();
        for step in 0..count {
            let layer = if rightwards { step } else { count - 1 - step };
            let nodes = self.layers[layer].clone();
            let wishes: Vec<(f64, f64)> = nodes.iter().map(|node| self.wish(*node)).collect();
            // Without gaps and heights the order is all that has to be kept: then the nearest heights that never
            // decrease are found by joining neighbours that wish to pass each other.
            let mut offset = 0.0;
            let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
            let mut offsets = Vec::new();
            for (at, node) in nodes.iter().enumerate() {
                if at > 0 {
                    let before = &self.nodes[nodes[at - 1]];
                    offset += before.height + before.gap(&self.nodes[*node]);
                }
                offsets.push(offset);
                let (wish, weight) = wishes[at];
                let mut block = (wish - offset, weight, 1);
                while let Some(last) = blocks.last().filter(|it| it.0 > block.0) {
                    let weight = last.1 + block.1;
                    let value = (last.0 * last.1 + block.0 * block.1) / weight;
                    block = (value, weight, last.2 + block.2);
                    blocks.pop();
                }
                blocks.push(block);
            }
            let values = blocks.iter().flat_map(|it| std::iter::repeat_n(it.0, it.2));
            for ((node, offset), value) in nodes.iter().zip(offsets).zip(values) {
                self.nodes[*node].y = value + offset;
            }
        }
    }

    /// Where a node would like to stand, and how much that counts. A line's own place counts most: a bend in it is seen.
    fn wish(&self, node: usize) -> (f64, f64) {
        let mut wishes = Vec::new();
        let mut weight = 0.05;
        for at in &self.to_left[node] {
            let it = &self.pieces[*at];
            wishes.push(self.nodes[it.left].y + it.left_port - it.right_port);
            weight += if self.nodes[it.left].of.is_none() { 2.0 } else { 1.0 };
        }
        for at in &self.to_right[node] {
            let it = &self.pieces[*at];
            wishes.push(self.nodes[it.right].y + it.right_port - it.left_port);
            weight += if self.nodes[it.right].of.is_none() { 2.0 } else { 1.0 };
        }
        (mean(&wishes).unwrap_or(self.nodes[node].y), weight)
    }

    fn finish(self) -> Placed {
        let top = self.nodes.iter().map(|it| it.y).fold(f64::INFINITY, f64::min);
        let mut left = 0.0;
        // The left edge of each layer, and its right edge.
        let mut edges = Vec::new();
        for layer in &self.layers {
            let widths =
                layer.iter().filter_map(|it| self.nodes[*it].of).map(|it| self.sizes[it].width);
            let width = widths.fold(0.0, f64::max);
            edges.push((left, left + width));
            // Many lines between two layers need room to part.
            let lines =
                layer.iter().map(|it| self.to_right[*it].len()).fold(0.0, |sum, _| sum + 1.0);
            left += width + LAYER_GAP + f64::min(lines * 3.0, 60.0);
        }
        let y = |node: usize| self.nodes[node].y - top;
        let boxes: Vec<(usize, (f64, f64))> = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(at, it)| Some((it.of?, (edges[it.layer].0, y(at)))))
            .collect();
        let mut routes = Vec::new();
        for (line, chain) in &self.chains {
            let of = &self.lines[*line];
            let begins_left = self.nodes[chain[0]].of == Some(of.from);
            let mut points = Vec::new();
            for (step, node) in chain.iter().enumerate() {
                let it = &self.nodes[*node];
                let (left, right) = edges[it.layer];
                let port = match it.of {
                    Some(box_) if box_ == of.from => of.from_port,
                    Some(_) => of.to_port,
                    None => 1.0,
                };
                let width = it.of.map_or(right - left, |it| self.sizes[it].width);
                if step > 0 {
                    points.push((left, y(*node) + port));
                }
                if step + 1 < chain.len() {
                    points.push((left + width, y(*node) + port));
                }
            }
            if !begins_left {
                points.reverse();
            }
            routes.push((*line, points));
        }
        for line in &self.loops {
            let of = &self.lines[*line];
            if let Some((_, corner)) = boxes.iter().find(|it| it.0 == of.from) {
                routes.push((*line, self_loop(*corner, self.sizes[of.from], of)));
            }
        }
        let height = self.nodes.iter().map(|it| it.y + it.height - top).fold(0.0, f64::max);
        let width = edges.last().map_or(0.0, |it| it.1) + LOOP;
        Placed { boxes, routes, width, height }
    }
}

/// How far a line from a table to itself stands out.
const LOOP: f64 = 24.0;

fn self_loop(corner: (f64, f64), size: Size, line: &Line) -> Vec<(f64, f64)> {
    let x = corner.0 + size.width;
    vec![(x, corner.1 + line.from_port), (x, corner.1 + line.to_port)]
}

#[expect(clippy::cast_precision_loss, reason = "a few lines")]
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The layer of each box of a part. Whatever refers stands to the right of what it refers to; of tables that refer to
/// each other in a circle, the one with more references to it stands left. No layer gets much higher than the drawing
/// should be.
fn layers(boxes: &[usize], sizes: &[Size], lines: &[Line], own: &[usize]) -> Vec<usize> {
    let at = |of: usize| boxes.binary_search(&of).unwrap_or(0);
    let mut targets = vec![Vec::new(); boxes.len()];
    let mut referred = vec![0_usize; boxes.len()];
    for line in own.iter().map(|it| &lines[*it]).filter(|it| it.from != it.to) {
        targets[at(line.from)].push(at(line.to));
        referred[at(line.to)] += 1;
    }
    let area: f64 =
        boxes.iter().map(|it| (sizes[*it].width + LAYER_GAP) * (sizes[*it].height + ROW_GAP)).sum();
    let tallest = boxes.iter().map(|it| sizes[*it].height).fold(0.0, f64::max);
    let room = (area / ASPECT).sqrt().max(tallest + 1.0) * 1.15;

    let mut layer = vec![usize::MAX; boxes.len()];
    let mut used: Vec<f64> = Vec::new();
    let mut waiting: Vec<usize> = (0..boxes.len()).collect();
    while !waiting.is_empty() {
        let open = |it: usize| targets[it].iter().filter(|to| layer[**to] == usize::MAX).count();
        // What refers to nothing that still waits; in a circle, what waits for least and is referred to most.
        let next = waiting
            .iter()
            .copied()
            .min_by_key(|it| (open(*it), std::cmp::Reverse(referred[*it]), *it))
            .unwrap_or(waiting[0]);
        waiting.retain(|it| *it != next);
        let placed = targets[next].iter().map(|to| layer[*to]).filter(|it| *it != usize::MAX);
        let mut own = placed.max().map_or(0, |it| it + 1);
        // Those that were placed although they refer here may stand in the same layer as this one would.
        let taken =
            |own: usize| (0..boxes.len()).any(|it| layer[it] == own && targets[it].contains(&next));
        let height = sizes[boxes[next]].height + ROW_GAP;
        while taken(own) || used.get(own).is_some_and(|used| used + height > room) {
            own += 1;
        }
        if used.len() <= own {
            used.resize(own + 1, 0.0);
        }
        used[own] += height;
        layer[next] = own;
    }
    // No layer is empty in between.
    let mut levels = layer.clone();
    levels.sort_unstable();
    levels.dedup();
    layer.iter().map(|it| levels.binary_search(it).unwrap_or(0)).collect()
}

/// Boxes without lines to others, in rows.
fn grid(boxes: &[usize], sizes: &[Size], lines: &[Line], wide: f64) -> Placed {
    let area: f64 = boxes
        .iter()
        .map(|it| (sizes[*it].width + ROW_GAP + LOOP) * (sizes[*it].height + ROW_GAP))
        .sum();
    let limit = wide.max((area * ASPECT).sqrt());
    let (mut x, mut y, mut row, mut width) = (0.0, 0.0, 0.0, 0.0);
    let mut placed = Placed { boxes: Vec::new(), routes: Vec::new(), width: 0.0, height: 0.0 };
    for of in boxes {
        let size = sizes[*of];
        if x > 0.0 && x + size.width > limit {
            (x, y) = (0.0, y + row + ROW_GAP);
            row = 0.0;
        }
        placed.boxes.push((*of, (x, y)));
        for (at, line) in lines.iter().enumerate().filter(|(_, it)| it.from == *of) {
            placed.routes.push((at, self_loop((x, y), size, line)));
        }
        row = f64::max(row, size.height);
        width = f64::max(width, x + size.width + LOOP);
        x += size.width + ROW_GAP + LOOP;
    }
    placed.width = width;
    placed.height = y + row;
    placed
}

/// Puts the parts beside and below each other.
fn pack(boxes: usize, lines: usize, parts: Vec<Placed>) -> Layout {
    let area: f64 = parts.iter().map(|it| (it.width + PART_GAP) * (it.height + PART_GAP)).sum();
    let widest = parts.iter().map(|it| it.width).fold(0.0, f64::max);
    let limit = widest.max((area * ASPECT).sqrt());
    let mut layout = Layout {
        corners: vec![(0.0, 0.0); boxes],
        routes: vec![Vec::new(); lines],
        width: 0.0,
        height: 0.0,
    };
    let (mut x, mut y, mut row) = (0.0, 0.0, 0.0);
    for part in parts {
        if x > 0.0 && x + part.width > limit {
            (x, y) = (0.0, y + row + PART_GAP);
            row = 0.0;
        }
        for (of, corner) in part.boxes {
            layout.corners[of] = (x + corner.0, y + corner.1);
        }
        for (line, points) in part.routes {
            layout.routes[line] = points.into_iter().map(|it| (x + it.0, y + it.1)).collect();
        }
        layout.width = f64::max(layout.width, x + part.width);
        layout.height = f64::max(layout.height, y + part.height);
        row = f64::max(row, part.height);
        x += part.width + PART_GAP;
    }
    layout
}
