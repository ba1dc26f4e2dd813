/** The outcome as an SVG: one panel of horizontal bars per measure, whiskers from the smallest to the largest value. */
import { MEASURES, type Measure } from './measures.ts';
import { type Outcome, samplesOf } from './outcome.ts';
import { spreadOf } from './spread.ts';

const PANELS: readonly Measure[] = ['cpu', 'latencyP50', 'latencyP99', 'bulk', 'connect', 'idleMemory'];

const WIDTH = 900;
const LABELS_END = 390;
const BARS_END = 820;
const ROW = 24;
const PANEL_HEAD = 44;

/** A complete SVG document, light background, no scripts, system fonts. */
export function chart(outcome: Outcome): string {
  const parts: string[] = [];
  let y = 56;
  for (const measure of PANELS) {
    const rows = outcome.contenders.flatMap(({ name, label }) => {
      const samples = samplesOf(outcome, name, measure);
      return samples.length === 0 ? [] : [{ name, label, ...spreadOf(samples) }];
    });
    if (rows.length === 0) continue;
    const definition: { title: string; digits: number; more?: true } = MEASURES[measure];
    const scale = (BARS_END - LABELS_END) / Math.max(...rows.map(({ max }) => max), Number.MIN_VALUE);
    const better = definition.more ? 'more is better' : 'less is better';
    parts.push(text(24, y + 24, `${definition.title} (${better})`, 'font-weight="600"'));
    y += PANEL_HEAD - 10;
    for (const { name, label, median, min, max } of rows) {
      const at = (value: number) => (LABELS_END + Math.max(value, 0) * scale).toFixed(1);
      const middle = y + ROW / 2;
      const fill = name.startsWith('sluice') ? '#2563a8' : name === 'relay' ? '#8a94a3' : '#c3cad4';
      parts.push(
        text(LABELS_END - 10, middle + 4, label, 'text-anchor="end" fill="#333"'),
        `<rect x="${LABELS_END}" y="${y + 4}" width="${(Math.max(median, 0) * scale).toFixed(1)}" height="${ROW - 8}" fill="${fill}"/>`,
        `<path d="M${at(min)} ${middle}H${at(max)}M${at(min)} ${middle - 4}v8M${at(max)} ${middle - 4}v8" stroke="#222" fill="none"/>`,
        text(Number(at(max)) + 8, middle + 4, median.toFixed(definition.digits), 'fill="#222"'),
      );
      y += ROW;
    }
    y += 14;
  }
  const { cpu, cores, node, postgres } = outcome.machine;
  const machine = `${outcome.at.slice(0, 10)} · ${cores} cores of ${cpu} · Node ${node} · PostgreSQL ${postgres} · medians, whiskers min to max`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 16}" viewBox="0 0 ${WIDTH} ${y + 16}" font-family="system-ui, sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#fff"/>
${text(24, 30, 'Sluice between pgbench and PostgreSQL', 'font-size="17" font-weight="600"')}
${text(24, 50, machine, 'font-size="12" fill="#555"')}
${parts.join('\n')}
</svg>
`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}
