/** Text for people at a terminal: tables, colour, and nothing a client could have smuggled in. */

import { styleText } from 'node:util';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow';

/** Styled if standard output is a terminal and NO_COLOR (https://no-color.org) is not set. */
export function styled(style: Style, text: string): string {
  const wanted = process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === '';
  return wanted ? styleText(style, text, { validateStream: false }) : text;
}

/**
 * One line that is safe to print. Statements and names come from clients: control characters could rewrite the screen
 * (or what was printed before), and bidirectional controls could show a statement in another order than it has.
 */
export function printable(text: string): string {
  return text
    .replace(/[\t\n\r ]+/g, ' ')
    .trim()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
}

/** {@link printable}, cut to `width` characters with an ellipsis. */
export function trimmed(text: string, width: number): string {
  // Only the beginning is shown: a statement may have megabytes.
  const line = [...printable(text.slice(0, width * 4))];
  return line.length > width || text.length > width * 4 ? `${line.slice(0, width - 1).join('')}…` : line.join('');
}

/** Columns padded to their widest cell, two spaces between them; cells must be printable already. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => [...(row[column] ?? '')].length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell + ' '.repeat(Math.max(0, widths[column]! - [...cell].length)))
      .join('  ')
      .trimEnd();
  return [styled('bold', line(header)), ...rows.map(line)].join('\n');
}

/** A time without its milliseconds. */
export function seconds(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}
