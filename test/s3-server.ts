import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

/** What is signed of a request: its parts as they came, before anything was decoded. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** SHA-256 in hexadecimal. */
  readonly bodySha256: string;
}

export interface StoredObject {
  readonly body: Buffer;
  readonly type: string;
  /** `null` where it may be removed. */
  readonly lock: { readonly mode: string; readonly until: Date } | null;
}

/**
 * Why a request is not signed as "Authenticating Requests (AWS Signature Version 4)" has it; `null` if it is. Where the
 * payload is not signed (`UNSIGNED-PAYLOAD`), a checksum of it has to be.
 */
export function signatureProblem(request: SignedRequest, credentials: S3Credentials, now: Date): string | null {
  const header = (name: string) => String(request.headers[name] ?? '');
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/.exec(
      header('authorization'),
    );
  if (match === null) return 'no signature';
  const [, keyId, day, region, signedHeaders, signature] = match as unknown as string[];
  if (keyId !== credentials.accessKeyId) return 'another access key';
  if (region !== credentials.region) return 'another region';
  const date = header('x-amz-date');
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  const at = Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`);
  if (Number.isNaN(at) || Math.abs(now.getTime() - at) > 15 * 60_000) return 'another time';
  if (!date.startsWith(day!)) return 'another day';
  const names = signedHeaders!.split(';');
  // All that mean something to the storage have to be signed.
  const needed = ['host', ...Object.keys(request.headers).filter((name) => name.startsWith('x-amz-'))];
  const unsigned = needed.filter((name) => !names.includes(name));
  if (unsigned.length > 0) return `not signed: ${unsigned.join(', ')}`;
  const payload = header('x-amz-content-sha256');
  if (payload === 'UNSIGNED-PAYLOAD') {
    const checksum = Buffer.from(request.bodySha256, 'hex').toString('base64');
    if (header('x-amz-checksum-sha256') !== checksum) return 'the checksum is not of the body';
  } else if (payload !== request.bodySha256) return 'another payload';
  const [path = '', query = ''] = request.target.split('?');
  const canonicalQuery = query
    .split('&')
    .filter((part) => part !== '')
    .map((part) => (part.includes('=') ? part : `${part}=`))
    .sort()
    .join('&');
  const canonical = [
    request.method,
    path,
    canonicalQuery,
    ...names.map((name) => `${name}:${header(name).trim().replace(/ +/g, ' ')}`),
    '',
    signedHeaders!,
    payload,
  ].join('\n');
  const hash = createHash('sha256').update(canonical).digest('hex');
  const toSign = ['AWS4-HMAC-SHA256', date, `${day}/${region}/s3/aws4_request`, hash].join('\n');
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  const key = [day!, region!, 's3', 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${credentials.secretAccessKey}`);
  return timingSafeEqual(hmac(key, toSign), Buffer.from(signature!, 'hex')) ? null : 'another signature';
}

/** An object storage for tests: a real server that takes PUT, checks signatures and checksums, and can be away. */
export class S3Server {
  readonly objects = new Map<string, StoredObject>();
  /** Every request that was stored, by the name of its object, in the order in which they came. */
  readonly puts: string[] = [];
  /** What was wrong with requests that were refused. */
  readonly refused: string[] = [];
  /** What it answers; 200 stores the object. */
  answer: (name: string) => number = () => 200;
  readonly #credentials: S3Credentials;
  readonly #server: Server;

  private constructor(credentials: S3Credentials) {
    this.#credentials = credentials;
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => this.#take(request, Buffer.concat(chunks), response));
    });
  }

  static async start(credentials: S3Credentials): Promise<S3Server> {
    const server = new S3Server(credentials);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  /** Of the bucket. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/audit`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #take(request: IncomingMessage, body: Buffer, response: ServerResponse): unknown {
    const { method = '', url: target = '', headers } = request;
    const refuse = (status: number, code: string, why: string) => {
      this.refused.push(why);
      response.writeHead(status, { 'content-type': 'application/xml' });
      response.end(
        `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${why}</Message></Error>`,
      );
    };
    const bodySha256 = createHash('sha256').update(body).digest('hex');
    const problem = signatureProblem({ method, target, headers, bodySha256 }, this.#credentials, new Date());
    if (problem !== null) return refuse(403, 'SignatureDoesNotMatch', problem);
    const name = decodeURIComponent(target).replace(/^\/audit\//, '');
    const status = this.answer(name);
    if (status !== 200) return refuse(status, 'SlowDown', `told to answer ${status}`);
    const mode = headers['x-amz-object-lock-mode'];
    const until = headers['x-amz-object-lock-retain-until-date'];
    if ((mode === undefined) !== (until === undefined)) return refuse(400, 'InvalidRequest', 'half a lock');
    const lock = mode === undefined ? null : { mode: String(mode), until: new Date(String(until)) };
    this.objects.set(name, { body, type: String(headers['content-type']), lock });
    this.puts.push(name);
    return response.writeHead(200, { etag: `"${bodySha256.slice(0, 32)}"` }).end();
  }
}
