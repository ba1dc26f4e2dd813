import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CACHING_SHA2_PASSWORD,
  CachingSha2Client,
  cachingSha2Response,
} from '../protocols/mysql/caching-sha2-password.ts';
import { type Capabilities, CLIENT } from '../protocols/mysql/capabilities.ts';
import { CompressedPackets, type Compression } from '../protocols/mysql/compression.ts';
import { encodePackets } from '../protocols/mysql/framing.ts';
import {
  decodeAuthMoreData,
  decodeHandshake,
  encodeHandshakeResponse,
  type Handshake,
} from '../protocols/mysql/handshake.ts';
import { NATIVE_PASSWORD, nativePasswordResponse } from '../protocols/mysql/native-password.ts';
import { decodeErr, type Err } from '../protocols/mysql/responses.ts';

export interface RawPacket {
  readonly sequence: number;
  readonly payload: Buffer;
}

const WANTED =
  CLIENT.longFlag |
  CLIENT.connectWithDb |
  CLIENT.protocol41 |
  CLIENT.transactions |
  CLIENT.secureConnection |
  CLIENT.multiStatements |
  CLIENT.multiResults |
  CLIENT.psMultiResults |
  CLIENT.pluginAuth |
  CLIENT.longPassword;

/** A client that sends whatever bytes a test wants, and shows every packet that comes back. */
export class RawMysqlClient {
  readonly socket: Socket;
  greeting!: Handshake;
  capabilities: Capabilities = { client: 0, mariadb: 0 };
  ended = false;
  readonly #packets: RawPacket[] = [];
  /** What has come and is not a whole packet yet, and how many bytes it has to have to be one. */
  #chunks: Buffer[] = [];
  #have = 0;
  #need = 4;
  #compression: Compression | null = null;
  readonly #compressed = new CompressedPackets(0xffffff);
  /** Of the compressed packets that have come. */
  readonly compressedNumbers: number[] = [];
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      const plain = this.#plain(chunk);
      this.#chunks.push(plain);
      this.#have += plain.length;
      if (this.#have >= this.#need) this.#split(Buffer.concat(this.#chunks));
      this.#wake();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.ended = true;
      this.#wake();
    });
  }

  /** From now on what comes is in compressed packets, whose numbers it notes; and what is sent has to be. */
  beCompressed(compression: Compression): void {
    this.#compression = compression;
  }

  #plain(chunk: Buffer): Buffer {
    const compression = this.#compression;
    if (compression === null) return chunk;
    this.#compressed.add(chunk);
    const plain: Buffer[] = [];
    for (let packet = this.#compressed.next(); packet !== null; packet = this.#compressed.next()) {
      const { number, body, length } = packet;
      this.compressedNumbers.push(number);
      plain.push(length === 0 ? Buffer.from(body) : compression.decompressNow(body, length));
    }
    return Buffer.concat(plain);
  }

  #split(bytes: Buffer): void {
    let at = 0;
    for (;;) {
      this.#need = bytes.length - at >= 4 ? 4 + bytes.readUIntLE(at, 3) : 4;
      if (bytes.length - at < this.#need) break;
      this.#packets.push({ sequence: bytes[at + 3]!, payload: bytes.subarray(at + 4, at + this.#need) });
      at += this.#need;
    }
    this.#chunks = [bytes.subarray(at)];
    this.#have = bytes.length - at;
  }

  /** @param from the address to connect from */
  static async connect(port: number, from = '127.0.0.1'): Promise<RawMysqlClient> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, localAddress: from });
    await once(socket, 'connect');
    return new RawMysqlClient(socket);
  }

  /** Connects and logs in. @param more capabilities besides the usual ones */
  static async login(
    port: number,
    { user, password, database }: { user: string; password: string; database: string },
    more = 0,
  ): Promise<RawMysqlClient> {
    const client = await RawMysqlClient.connect(port);
    const error = await client.authenticate(user, password, database, more);
    if (error !== null) throw new Error(`${error.code}: ${error.message}`);
    return client;
  }

  /** @returns why it was refused, `null` if it was not */
  async authenticate(user: string, password: string, database: string, more = 0, plugin?: string): Promise<Err | null> {
    const first = await this.packet();
    if (first.payload[0] === 0xff) return decodeErr(first.payload);
    this.greeting = decodeHandshake(first.payload);
    const client = ((WANTED | more) & this.greeting.capabilities.client) >>> 0;
    this.capabilities = { client, mariadb: 0 };
    const authPlugin = plugin ?? this.greeting.authPlugin!;
    let scramble = this.greeting.authData;
    const answer = (): Buffer =>
      authPlugin === NATIVE_PASSWORD
        ? nativePasswordResponse(password, scramble)
        : cachingSha2Response(password, scramble);
    const response = encodeHandshakeResponse({
      capabilities: this.capabilities,
      maxPacketSize: 1 << 24,
      characterSet: 45,
      user,
      authResponse: answer(),
      database,
      authPlugin,
      attributes: null,
      zstdLevel: (client & CLIENT.zstdCompressionAlgorithm) === 0 ? null : 3,
    });
    this.send(encodePackets(response, 1));
    let sha2 = new CachingSha2Client(password, scramble, 'ask for the key');
    for (;;) {
      const { sequence, payload } = await this.packet();
      if (payload[0] === 0) return null;
      if (payload[0] === 0xff) return decodeErr(payload);
      if (payload[0] === 0xfe) {
        const asked = payload.toString('latin1', 1, payload.indexOf(0, 1));
        scramble = payload.subarray(payload.indexOf(0, 1) + 1, payload.indexOf(0, 1) + 21);
        sha2 = new CachingSha2Client(password, scramble, 'ask for the key');
        const said =
          asked === CACHING_SHA2_PASSWORD
            ? cachingSha2Response(password, scramble)
            : nativePasswordResponse(password, scramble);
        this.send(encodePackets(said, sequence + 1));
        continue;
      }
      const next = sha2.answer(decodeAuthMoreData(payload));
      if (next !== null) this.send(encodePackets(next, sequence + 1));
    }
  }

  send(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** The next packet; rejects if the connection ends instead. */
  async packet(): Promise<RawPacket> {
    const deadline = Date.now() + 10_000;
    while (this.#packets.length === 0) {
      if (this.ended) throw new Error('the connection has ended');
      if (Date.now() > deadline) throw new Error('no packet within 10 s');
      await Promise.race([
        sleep(200, undefined, { ref: false }),
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      ]);
    }
    return this.#packets.shift()!;
  }

  /** All packets until the connection ends. */
  async rest(): Promise<RawPacket[]> {
    const packets: RawPacket[] = [];
    for (;;) {
      try {
        packets.push(await this.packet());
      } catch (error) {
        if (!this.ended) throw error;
        return packets;
      }
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The packet of a COM_QUERY. */
export function comQuery(text: string, sequence = 0): Buffer {
  return encodePackets(Buffer.concat([Buffer.of(3), Buffer.from(text)]), sequence);
}
