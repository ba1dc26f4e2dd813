import type { OwnStatement } from '../own-statement.ts';
import type { TokenReader } from './token-reader.ts';

/**
 * `SHOW SLUICE REQUESTS`, `SHOW SLUICE SESSION` and `EXPLAIN FORMAT=SLUICE statement`: no server has such a SHOW, or such a
 * format of plans. What EXPLAIN is about is the whole rest of the text.
 *
 * @returns `null` for every other statement: then nothing has been read
 */
export function ownStatement(reader: TokenReader): OwnStatement | null {
  const start = reader.position;
  if (reader.takeWords('SHOW', 'SLUICE')) {
    const asks = reader.takeWord('REQUESTS') ? 'requests' : reader.takeWord('SESSION') ? 'session' : null;
    if (asks !== null && reader.isAtEnd) return { asks };
  } else if (reader.takeWord('EXPLAIN', 'DESCRIBE', 'DESC') && reader.takeWord('FORMAT')) {
    if (reader.takeOperator('=') && reader.takeWord('SLUICE') && !reader.isAtEnd) {
      const from = reader.peek().start;
      while (reader.peek().type !== 'end') reader.next();
      return { asks: 'verdict', from };
    }
  }
  reader.goTo(start);
  return null;
}
