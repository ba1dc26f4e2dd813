import { readdirSync } from 'node:fs';
import { get } from 'node:http';
import { residentBytes } from '../../bench/process-usage.ts';
import type { Sluice } from '../sluice.ts';

/** What a running Sluice holds and has done at one moment. Sizes in MB (10^6 bytes). */
export interface Sample {
  /** Seconds since the load began. */
  readonly at: number;
  readonly residentMB: number;
  readonly heapMB: number;
  /** What Buffers and WebAssembly hold outside the heap. */
  readonly externalMB: number;
  /** Open files and sockets. */
  readonly descriptors: number;
  readonly sessions: number;
  /** Written so far, over all segments. */
  readonly journalMB: number;
  /** Allowed and refused ones so far. */
  readonly statements: number;
  /** Records of outcomes that were given up because the journal could not be written. */
  readonly outcomesLost: number;
}

/** Takes a sample. Rejects if the process has ended or /metrics does not answer within 10 s. */
export async function takeSample(sluice: Sluice, at: number): Promise<Sample> {
  // Counted first: the scrape is a connection of its own.
  const descriptors = openDescriptors(sluice.pid);
  const residentMB = residentBytes(sluice.pid) / 1e6;
  const metrics = await scrape(sluice.apiPort);
  const value = (name: string): number => {
    const lines = [...metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
    if (lines.length === 0) throw new Error(`/metrics has no ${name}`);
    return lines.reduce((sum, [, figure]) => sum + Number(figure), 0);
  };
  return {
    at,
    residentMB,
    heapMB: value('nodejs_heap_size_used_bytes') / 1e6,
    externalMB: value('nodejs_external_memory_bytes') / 1e6,
    descriptors,
    sessions: value('sluice_sessions'),
    journalMB: value('sluice_journal_bytes_total') / 1e6,
    statements: value('sluice_statements_total'),
    outcomesLost: value('sluice_journal_outcomes_lost_total'),
  };
}

/** How many files and sockets a process has open. */
export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function scrape(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    // Without a connection kept alive, which would count as a descriptor.
    const request = get({ host: '127.0.0.1', port, path: '/metrics', agent: false, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`/metrics answers ${response.statusCode}: ${body}`));
      });
    });
    request.on('timeout', () => request.destroy(new Error('/metrics does not answer within 10 s')));
    request.on('error', reject);
  });
}
