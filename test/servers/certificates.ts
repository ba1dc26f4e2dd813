import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of PEM files. */
export interface Certificates {
  /** The authority's certificate: what a client trusts. */
  readonly ca: string;
  /** The server's certificate, for `localhost` and 127.0.0.1. */
  readonly certificate: string;
  /** The server's key, mode 0600. */
  readonly key: string;
}

/**
 * Makes an authority and a server certificate signed by it, valid for two days, in `directory`. The authority's key is
 * thrown away. Uses the `openssl` command, since Node can make keys but not certificates.
 */
export function makeCertificates(directory: string): Certificates {
  const path = (name: string) => join(directory, name);
  const files: Certificates = { ca: path('ca.crt'), certificate: path('server.crt'), key: path('server.key') };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const extensions = path('server.ext');
  writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n');
  const openssl = (...args: string[]) => {
    try {
      execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (error) {
      throw new Error('the openssl command is needed to make test certificates', { cause: error });
    }
  };
  const authority = ['-keyout', path('ca.key'), '-out', files.ca, '-subj', '/CN=Sluice test authority', '-days', '2'];
  openssl('req', '-x509', ...key, ...authority);
  openssl('req', '-new', ...key, '-keyout', files.key, '-out', path('server.csr'), '-subj', '/CN=localhost');
  const signer = ['-CA', files.ca, '-CAkey', path('ca.key'), '-CAcreateserial', '-days', '2', '-extfile', extensions];
  openssl('x509', '-req', '-in', path('server.csr'), '-out', files.certificate, ...signer);
  for (const name of ['ca.key', 'ca.srl', 'server.csr', 'server.ext']) rmSync(path(name), { force: true });
  return files;
}
