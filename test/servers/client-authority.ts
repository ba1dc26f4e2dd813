import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of PEM files. */
export interface KeyPair {
  readonly certificate: string;
  /** Mode 0600. */
  readonly key: string;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** An authority that signs certificates, with its files in a directory. Uses the `openssl` command. */
export class Authority {
  /** Its own certificate: what one trusts. */
  readonly ca: string;
  readonly #directory: string;
  readonly #name: string;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
    this.ca = this.#path('ca.crt');
    openssl(
      ...['req', '-x509', ...KEY, '-keyout', this.#path('ca.key'), '-out', this.ca],
      ...['-subj', `/CN=${name}`, '-days', '2'],
    );
  }

  /**
   * @param subject as openssl has it: `/CN=reports`
   * @param names subjectAltName, as openssl has it: `DNS:reports.example,URI:spiffe://example/reports`
   * @param days of its life; below zero for one that has ended
   */
  issue(
    subject: string,
    { names, usage = 'clientAuth', days = 2 }: { names?: string; usage?: string; days?: number } = {},
  ): KeyPair {
    const file = subject.replaceAll(/\W+/g, '_') + (days < 0 ? '_ended' : '') + usage;
    const [key, request, extensions] = [`${file}.key`, `${file}.csr`, `${file}.ext`].map((name) => this.#path(name));
    const certificate = this.#path(`${file}.crt`);
    const alternative = names === undefined ? '' : `subjectAltName=${names}\n`;
    writeFileSync(extensions!, `extendedKeyUsage=${usage}\n${alternative}`);
    openssl('req', '-new', ...KEY, '-keyout', key!, '-out', request!, '-subj', subject);
    openssl(
      ...['x509', '-req', '-in', request!, '-out', certificate, '-CA', this.ca, '-CAkey', this.#path('ca.key')],
      ...['-CAcreateserial', '-days', String(days), '-extfile', extensions!],
    );
    return { certificate, key: key! };
  }

  #path(name: string): string {
    return join(this.#directory, `${this.#name}-${name}`);
  }
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
