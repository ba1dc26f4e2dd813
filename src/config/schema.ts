/** The shape of sluice.yaml. docs/configuration.md is generated from the descriptions here (`reference.ts`). */

import { z } from 'zod';
import { parseCachingSha2Verifier } from '../../protocols/mysql/caching-sha2-password.ts';
import { parseNativeVerifier } from '../../protocols/mysql/native-password.ts';
import { parseScramVerifier } from '../../protocols/postgres/scram.ts';
import { isHost } from './address.ts';
import { channelList, channelProblems } from './channel-schema.ts';
import { BEARER_USER, TOKEN_USER } from './config.ts';
import { exportList } from './export-schema.ts';
import { REDACTIONS } from './redaction.ts';
import { address, duration, path, secret, size, unique, webAddress, wireName } from './schema-values.ts';

const storeAddress = z
  .string()
  .refine((text) => /^(sqlite:.|postgres(ql)?:\/\/)/.test(text), 'must begin with sqlite: or postgres://')
  .refine((text) => (URL.parse(text)?.password ?? '') === '', {
    error:
      'has a password in it: a secret is not written into this file, use { env: NAME }, { file: PATH } or { command: [...] }',
  });

const upstream = z
  .strictObject({
    host: z.string().refine(isHost, 'is not a host name or address').describe('Host name or address of the server.'),
    port: z.int().min(1).max(65535).optional().describe('Its port; left out, 5432 for PostgreSQL and 3306 for MySQL.'),
    database: wireName.describe('Database to use there.'),
    user: wireName.describe('Account Sluice logs in with. Clients never see it.'),
    password: secret
      .optional()
      .describe('Its password, as a reference: `{ env: NAME }`, `{ file: PATH }` or `{ command: [...] }`.'),
    tls: z
      .enum(['disable', 'require', 'verify-ca', 'verify-full'])
      .default('verify-full')
      .describe(
        "How the server is verified, as libpq's sslmode: `disable` no TLS, `require` TLS with any certificate, `verify-ca` one signed by a trusted authority, `verify-full` that and with the host's name in it.",
      ),
    ca: path.optional().describe('PEM file of the authorities to trust instead of those that come with Node.'),
  })
  .superRefine((value, context) => {
    if (value.ca !== undefined && value.tls !== 'verify-ca' && value.tls !== 'verify-full') {
      context.addIssue({
        code: 'custom',
        path: ['ca'],
        message: `is only used with tls verify-ca or verify-full, and tls is ${value.tls}`,
      });
    }
  });

const connection = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,63}$/, 'must be 1 to 63 of letters, digits, "_", "-" and "."')
    .describe('What clients ask for as the database. MySQL clients may also log in as `user%name`.'),
  protocol: z.enum(['postgres', 'mysql']).describe('Its protocol; `mysql` is MariaDB as well.'),
  upstream: upstream.describe('The server behind it.'),
  default: z.enum(['allow', 'hold', 'deny']).describe('The verdict for statements that no rule matches.'),
});

/** A verifier in a text form that `parse` reads, or throws. */
function verifier(parse: (text: string) => unknown) {
  return z
    .string()
    .superRefine((text, context) => {
      try {
        parse(text);
      } catch (error) {
        context.addIssue({ code: 'custom', message: `is ${(error as Error).message}` });
      }
    })
    .optional()
    .meta({ title: 'verifier' });
}

const user = z
  .strictObject({
    name: wireName.describe('User name clients log in with.'),
    kind: z.enum(['human', 'agent', 'service']).describe('Who it is; rules can match it.'),
    groups: z.array(z.string().min(1, 'must not be empty')).default([]).describe('Groups rules can match.'),
    owner: wireName.optional().describe('Who answers for it; it ends with them, see identity.md.'),
    scram: verifier(parseScramVerifier).describe(
      'SCRAM-SHA-256 verifier of the password for PostgreSQL, as `sluice users hash` prints it. The password is not in it.',
    ),
    mysql: verifier(parseCachingSha2Verifier).describe(
      'caching_sha2_password verifier for MySQL, as `sluice users hash --for mysql` prints it.',
    ),
    mysql_native: verifier(parseNativeVerifier).describe(
      'mysql_native_password verifier, for MySQL clients that know nothing newer and for Connector/J on MariaDB, as `sluice users hash --for mysql-native` prints it.',
    ),
    certificates: z
      .array(z.string().regex(/^(CN=|DNS:|URI:|email:)./, 'must begin with CN=, DNS:, URI: or email:'))
      .min(1, 'must have at least one name')
      .optional()
      .describe(
        'Names of client certificates, by `tls.client_ca`: `CN=reports`, `DNS:reports.example`, `URI:spiffe://example/reports`, `email:reports@example`. It logs in with one of them; if it has a password as well, with both.',
      ),
  })
  .superRefine(({ scram, mysql, mysql_native, certificates }, context) => {
    if ([scram, mysql, mysql_native, certificates].every((proof) => proof === undefined)) {
      context.addIssue({
        code: 'custom',
        message: 'has neither scram, mysql, mysql_native nor certificates: nobody could log in as it',
      });
    }
  });

/** The name of a claim, or a path to one with dots. */
const claim = z.string().min(1, 'must not be empty').max(200).meta({ title: 'claim' });

const oidc = z.strictObject({
  issuer: webAddress.describe(
    "The provider's identifier, as its tokens and its discovery document have it: an https address.",
  ),
  audience: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .transform((value) => (typeof value === 'string' ? [value] : value))
    .describe('What a token must be for; of a list, one of them.')
    .meta({ title: 'text or list of texts' }),
  claims: z
    .strictObject({
      subject: claim.default('sub').describe('Who it is; rules match it.'),
      groups: claim.optional().describe('Its groups, a text or a list.'),
      kind: claim.optional().describe('`human`, `agent` or `service`.'),
      owner: claim.optional().describe('Who answers for it.'),
    })
    .prefault({})
    .describe('Which claims say what.'),
  kind: z.enum(['human', 'agent', 'service']).default('agent').describe('What a token is of that has no claim for it.'),
  require: z
    .record(
      claim,
      z.union([z.string(), z.array(z.string()).min(1)]).transform((value) => [value].flat()),
    )
    .default({})
    .describe('Claims a token must have, each with its value or one of a list.')
    .meta({ title: 'claims and values' }),
  login: z
    .strictObject({
      client_id: z.string().min(1, 'must not be empty').describe('The public client that `sluice login` is there.'),
      scopes: z
        .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope'))
        .default(['openid'])
        .describe('What it asks for; with `offline_access` some providers let it stay logged in.'),
      resource: z
        .url()
        .optional()
        .describe('The resource its access token is asked for, where the provider wants to be told (RFC 8707).'),
    })
    .optional()
    .describe('How people log in there by `sluice login`; left out, they do not.'),
});

const saml = z.strictObject({
  url: webAddress
    .transform((text) => text.replace(/\/$/, ''))
    .describe('Where browsers reach the API of Sluice, such as `https://sluice.example:6480`.'),
  entity_id: z
    .string()
    .min(1, 'must not be empty')
    .optional()
    .describe(
      "Sluice's name at the provider; left out, the address of its metadata, `URL/api/v1/login/saml/metadata`.",
    ),
  idp: z
    .strictObject({
      issuer: z.string().min(1, 'must not be empty').describe('Its entity id, as its assertions have it.'),
      sign_in: webAddress.describe('Where people log in (HTTP-Redirect binding).'),
      certificate: path.describe(
        'PEM file of the certificate it signs assertions with; of several while it changes them.',
      ),
    })
    .describe('The identity provider.'),
  attributes: z
    .strictObject({
      subject: claim.optional().describe('Who it is; left out, the NameID says it.'),
      groups: claim.optional().describe('Their groups.'),
    })
    .prefault({})
    .describe('Names of the attributes that say what.'),
  kind: z.enum(['human', 'agent', 'service']).default('human').describe('What those are who log in.'),
  longest: duration('1m', '7d')
    .prefault('12h')
    .describe("Longest life of a login; the end of the provider's session bounds it as well."),
});

const groupsOfRole = z.array(z.string().min(1, 'must not be empty')).default([]).meta({ title: 'list of texts' });

const DAY_MS = 24 * 60 * 60_000;

export const configSchema = z
  .strictObject({
    listen: z
      .strictObject({
        postgres: address.optional().describe('Where PostgreSQL clients connect; left out, they are not served.'),
        mysql: address.optional().describe('Where MySQL and MariaDB clients connect; left out, they are not served.'),
        api: address
          .optional()
          .describe(
            'Where `/healthz`, `/readyz`, `/metrics` and the API under `/api/v1` are served over HTTP and, with `tls`, HTTPS on the same port; left out, they are not served.',
          ),
      })
      .describe('Addresses to listen on.'),
    tls: z
      .strictObject({
        certificate: path.describe('PEM file of the certificate, followed by its chain.'),
        key: path.describe('PEM file of its private key, without a pass phrase.'),
        names: z
          .array(
            z.strictObject({
              name: z
                .string()
                .refine((text) => isHost(text.replace(/^\*\./, '')), 'is not a host name')
                .describe('Name that clients ask for (SNI); `*` may stand for its first label.'),
              certificate: path.describe('PEM file of the certificate, followed by its chain.'),
              key: path.describe('PEM file of its private key, without a pass phrase.'),
            }),
          )
          .default([])
          .superRefine((list, context) => unique(list, context))
          .describe('Other certificates for clients that ask for other names.'),
        client_ca: path
          .optional()
          .describe(
            'PEM file of the authorities whose certificates users may log in with; left out, clients are asked for none.',
          ),
      })
      .optional()
      .describe('TLS towards clients. Without it only clients of this machine can log in; see `identity.without_tls`.'),
    connections: z
      .array(connection)
      .min(1, 'must have at least one connection')
      .superRefine((list, context) => unique(list, context))
      .describe('Databases clients can ask for.'),
    identity: z
      .strictObject({
        users: z
          .array(user)
          .default([])
          .superRefine((list, context) => unique(list, context))
          .describe('Users with passwords.'),
        oidc: z
          .array(oidc)
          .default([])
          .superRefine((list, context) => {
            const issuers = list.map(({ issuer }) => issuer);
            issuers.forEach((issuer, index) => {
              if (issuers.indexOf(issuer) === index) return;
              context.addIssue({ code: 'custom', path: [index, 'issuer'], message: `"${issuer}" is there twice` });
            });
          })
          .describe('OpenID providers whose tokens are accepted as passwords over TLS.'),
        saml: saml.optional().describe('A SAML 2.0 identity provider at which people log in by `sluice login --saml`.'),
        roles: z
          .strictObject({
            viewer: groupsOfRole.describe('See sessions and agents.'),
            approver: groupsOfRole.describe('See what a viewer sees, and vote on held statements; people only.'),
            auditor: groupsOfRole.describe('See what a viewer sees, and all credentials and records.'),
            admin: groupsOfRole.describe(
              'See what an auditor sees; end sessions, lock agents, revoke credentials, reload rules.',
            ),
          })
          .prefault({})
          .describe('Groups whose members have a role at the HTTP API. An identity of kind `agent` never has one.'),
        credentials: z
          .strictObject({
            longest: duration('1m', '7d')
              .prefault('12h')
              .describe('Longest life of a short-lived credential; that of the login it is made in bounds it as well.'),
          })
          .prefault({})
          .describe('Short-lived credentials.'),
        without_tls: z
          .literal('loopback')
          .optional()
          .describe(
            '`loopback`: clients of this machine may log in with a password without TLS. Left out, everybody needs TLS; from other machines it is always needed.',
          ),
      })
      .superRefine(({ users, oidc }, context) => {
        if (users.length === 0 && oidc.length === 0) {
          context.addIssue({ code: 'custom', message: 'has neither users nor oidc: nobody could log in' });
        }
        if (oidc.length === 0) return;
        users.forEach(({ name }, index) => {
          if (name !== TOKEN_USER && name !== BEARER_USER) return;
          const message = `"${name}" is the name that tokens log in by`;
          context.addIssue({ code: 'custom', path: ['users', index, 'name'], message });
        });
      })
      .describe('Who may log in.'),
    approvals: z
      .strictObject({
        break_glass: z
          .array(z.string().min(1))
          .default([])
          .describe(
            'Groups whose members, if they are approvers, may approve alone in an emergency, on their own requests too. They have to say why, and somebody else reviews it.',
          )
          .meta({ title: 'list of groups' }),
        url: z
          .url({ protocol: /^https?$/, error: 'must be an address such as https://sluice.example' })
          .optional()
          .describe('Where people find requests: what a waiting client is told has a link that begins with it.'),
        channels: channelList.describe('Where people and programs are told of requests, see approvals.md.'),
      })
      .prefault({})
      .describe('Statements that wait for a person.'),
    rules: z.array(path).default([]).describe('Rule files.').meta({ title: 'list of paths' }),
    recording: z
      .strictObject({
        directory: path.describe('Directory of the journal; made if it is missing.'),
        durability: z
          .enum(['process', 'disk'])
          .default('process')
          .describe(
            '`process`: a record is with the operating system before its statement reaches the database, so it survives a crash of Sluice, not of the machine. `disk`: it is on the disk before; statements that come together share a sync, and each waits for one.',
          ),
        redact: z
          .enum(REDACTIONS)
          .default('secrets')
          .describe(
            'What records leave out: `secrets` are literals and binds that meet masked columns, what detectors find, passwords in statements about roles and other servers, all literals and binds of a statement that cannot be read, or of which a part cannot where columns are masked, and what quotes them; `all-literals` are all literals and binds.',
          ),
        index: z
          .boolean()
          .default(false)
          .describe(
            'Keep an index of all records, for `recordings search` and `sessions`: in the store if that is a PostgreSQL, then of all nodes, else in `index.db` in the directory of the journal.',
          ),
        key: secret
          .optional()
          .describe(
            'The key that the journal is signed with: Ed25519, PKCS #8 in PEM. Left out, `journal.key.pem` in its directory, made when it is opened first.',
          ),
        export: exportList.describe(
          'Where records are brought to as well, at least once and in order, however long it is away; see recording.md.',
        ),
        retain: z
          .strictObject({
            days: z.int().min(1).max(36_500).optional().describe('Segments are removed when they are so old.'),
            bytes: size('256MiB', '999999999GiB')
              .optional()
              .describe('The oldest segments are removed when all together are more; the current one never is.'),
          })
          .refine(({ days, bytes }) => days !== undefined || bytes !== undefined, 'must have days, bytes or both')
          .optional()
          .describe(
            'How much of the journal is kept: what goes is whole segments that verify and that the index and every exporter have, and each is recorded. Left out, everything.',
          ),
      })
      .superRefine(({ retain, export: exporters }, context) => {
        if (retain?.days === undefined) return;
        const days = retain.days;
        exporters.forEach((exporter, index) => {
          if (exporter.to !== 's3' || exporter.every < days * DAY_MS) return;
          const message = `must be less than recording.retain.days, ${days}d: what it closes so late could not be removed in time`;
          context.addIssue({ code: 'custom', path: ['export', index, 'every'], message });
        });
      })
      .describe('The journal of every statement.'),
    store: z
      .union([storeAddress, secret], {
        error:
          'must be `sqlite:PATH`, `postgres://USER@HOST/DATABASE`, or a reference to a secret that holds one of them',
      })
      .optional()
      .describe(
        'Where credentials, revocations and the inventory of agents are kept: `sqlite:PATH` for one node, `postgres://USER@HOST/DATABASE?sslmode=verify-full` for several that share it. An address with a password in it is a secret: `{ env: NAME }`, `{ file: PATH }` or `{ command: [...] }`. Left out, `sluice.db` in the directory of the journal.',
      )
      .meta({ title: 'text or secret' }),
    limits: z
      .strictObject({
        sessions: z
          .int()
          .min(1)
          .max(100_000)
          .default(2000)
          .describe('Most sessions at once; further ones are refused (53300, in MySQL 1040).'),
        logins: z
          .int()
          .min(2)
          .max(100_000)
          .default(1000)
          .describe(
            'Most clients that may be logging in at once; from one address half as many. Further ones are refused.',
          ),
        handshake: duration('100ms', '10m')
          .prefault('15s')
          .describe('Time a client has from connecting to the end of authentication.'),
        idle: duration('0s', '30d').prefault('0s').describe('Time a session may be silent; `0s` for no limit.'),
        message: size('64KiB', '1GiB').prefault('64MiB').describe('Longest message a client may send.'),
        drain: duration('0s', '1h').prefault('30s').describe('Time a drain waits for transactions to end.'),
      })
      .prefault({})
      .describe('Limits.'),
    log: z
      .strictObject({
        level: z
          .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
          .default('info')
          .describe('Least severe level written.'),
      })
      .prefault({})
      .describe('The log, JSON lines on standard error. Statements are not in it; they are in the journal.'),
  })
  .superRefine(({ listen, connections, tls, identity, approvals }, context) => {
    const rest = {
      connections: connections.map(({ name }) => name),
      listensForApi: listen.api !== undefined,
      issuers: [...identity.oidc.map(({ issuer }) => issuer), ...(identity.saml ? [identity.saml.idp.issuer] : [])],
      people: identity.users.filter(({ kind }) => kind === 'human').map(({ name }) => name),
    };
    approvals.channels.forEach((channel, index) => {
      for (const { path: within, message } of channelProblems(channel, rest)) {
        context.addIssue({ code: 'custom', path: ['approvals', 'channels', index, ...within], message });
      }
    });
    if (identity.saml !== undefined && listen.api === undefined) {
      const message = 'needs listen.api: that is where people log in';
      context.addIssue({ code: 'custom', path: ['identity', 'saml'], message });
    }
    if (tls === undefined && identity.without_tls === undefined) {
      const message = 'is missing, and identity.without_tls is not loopback: nobody could log in';
      context.addIssue({ code: 'custom', path: ['tls'], message });
    }
    if (identity.oidc.length > 0 && tls === undefined) {
      const message = 'needs tls: tokens are accepted over TLS only';
      context.addIssue({ code: 'custom', path: ['identity', 'oidc'], message });
    }
    identity.users.forEach(({ certificates }, index) => {
      if (certificates === undefined || tls?.client_ca !== undefined) return;
      const message = 'needs tls.client_ca: nobody could vouch for them';
      context.addIssue({ code: 'custom', path: ['identity', 'users', index, 'certificates'], message });
    });
    connections.forEach(({ protocol }, index) => {
      if (listen[protocol] !== undefined) return;
      const message = `is ${protocol}, and there is no listen.${protocol}: nobody could ask for it`;
      context.addIssue({ code: 'custom', path: ['connections', index, 'protocol'], message });
    });
  });

/** sluice.yaml after its shape was checked and defaults filled in; paths and secrets are not resolved yet. */
export type FileConfig = z.output<typeof configSchema>;
