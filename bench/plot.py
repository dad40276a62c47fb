"""Line charts as SVG, for the documentation: plot.chart(path, title, x, y, series)."""
import math
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 70, 170, 40, 50
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")


def nice(top):
    """The next of 1, 2, 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(top))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= top)


def label(v):
    if v >= 10000 and math.log10(v) == int(math.log10(v)):
        return f"10<tspan dy='-5' font-size='8'>{int(math.log10(v))}</tspan>"
    return f"{v:,.0f}" if v >= 10 or v == int(v) else f"{v:.2g}"


class Axis:
    def __init__(self, values, low, high, is_log, from_zero):
        self.low, self.high, self.is_log = low, high, is_log
        if is_log:
            first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
            self.a, self.b = first, max(last, first + 1)
            self.ticks = [10.0 ** e for e in range(self.a, self.b + 1)]
        else:
            self.a, self.b = (0 if from_zero else min(values)), nice(max(max(values), 1e-9))
            self.ticks = [self.a + (self.b - self.a) * i / 5 for i in range(6)]

    def at(self, v):
        share = ((math.log10(v) if self.is_log else v) - self.a) / (self.b - self.a)
        return self.low + share * (self.high - self.low)


def chart(path, title, x_name, y_name, series, log_x=False, log_y=False):
    """series: {name: [(x, y), ...]}"""
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_axis = Axis(xs, LEFT, WIDTH - RIGHT, log_x, True)
    y_axis = Axis(ys, HEIGHT - BOTTOM, TOP, log_y, True)
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='11'>",
           f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
           f"<text x='{LEFT}' y='22' font-size='14'>{escape(title)}</text>",
           f"<text x='{(LEFT + WIDTH - RIGHT) / 2}' y='{HEIGHT - 12}' text-anchor='middle'>{escape(x_name)}</text>",
           f"<text transform='translate(16,{(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)' text-anchor='middle'>{escape(y_name)}</text>"]
    for v in x_axis.ticks:
        out.append(f"<line x1='{x_axis.at(v):.1f}' x2='{x_axis.at(v):.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}' stroke='#eee'/>"
                   f"<text x='{x_axis.at(v):.1f}' y='{HEIGHT - BOTTOM + 16}' text-anchor='middle'>{label(v)}</text>")
    for v in y_axis.ticks:
        out.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y_axis.at(v):.1f}' y2='{y_axis.at(v):.1f}' stroke='#ddd'/>"
                   f"<text x='{LEFT - 6}' y='{y_axis.at(v) + 4:.1f}' text-anchor='end'>{label(v)}</text>")
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in points)
        out.append(f"<polyline points='{line}' fill='none' stroke='{colour}' stroke-width='1.5'/>")
        if len(points) <= 20:
            out += [f"<circle cx='{x_axis.at(x):.1f}' cy='{y_axis.at(y):.1f}' r='3' fill='{colour}'/>" for x, y in points]
        y = TOP + 14 + 18 * i
        out.append(f"<line x1='{WIDTH - RIGHT + 12}' x2='{WIDTH - RIGHT + 32}' y1='{y - 4}' y2='{y - 4}' stroke='{colour}' stroke-width='2'/>"
                   f"<text x='{WIDTH - RIGHT + 38}' y='{y}'>{escape(name)}</text>")
    path.write_text("\n".join(out) + "\n</svg>\n")
