import type { ExportFormat } from '../../config/config.ts';
import type { LineFormat } from './jsonl.ts';

export async function formatOf(format: ExportFormat): Promise<LineFormat> {
  switch (format) {
    case 'sluice':
      // The journal's own bytes, so that its chain can be verified wherever they are.
      return ({ bytes }) => bytes;
  }
}
