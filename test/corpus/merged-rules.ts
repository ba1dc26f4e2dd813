import { readFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';

/** Rule files as one. */
export function merged(files: readonly string[]): string {
  const sections: Record<string, unknown[]> = {};
  for (const file of files) {
    for (const [name, items] of Object.entries(parse(readFileSync(file, 'utf8')) as Record<string, unknown>)) {
      if (Array.isArray(items)) sections[name] = [...(sections[name] ?? []), ...items];
    }
  }
  return stringify({ version: 1, ...sections }, { aliasDuplicateObjects: false });
}
