import { parseWebhookSecret } from '../../protocols/webhooks/standard-webhooks.ts';
import { NOTICES } from './approval-notices.ts';
import type { ChannelFileConfig } from './channel-schema.ts';
import type { ApprovalChannelConfig, SlackChannelConfig, WebhookChannelConfig } from './config.ts';
import type { SecretReference } from './schema-values.ts';

/** What a reference under a key stands for, read by `read`; `null` with the problem noted. */
type SecretOf = <T>(key: string, reference: SecretReference, read: (text: string) => T) => Promise<T | null>;

/** A channel with its secrets; `null` if one of them cannot be had. */
export function channelOf(channel: ChannelFileConfig, secretOf: SecretOf): Promise<ApprovalChannelConfig | null> {
  return channel.to === 'webhook' ? webhookOf(channel, secretOf) : slackOf(channel, secretOf);
}

async function webhookOf(
  channel: Extract<ChannelFileConfig, { to: 'webhook' }>,
  secretOf: SecretOf,
): Promise<WebhookChannelConfig | null> {
  const { secret, previous_secret: previous, connections = null, events = NOTICES, ...rest } = channel;
  const first = await secretOf('secret', secret, parseWebhookSecret);
  const second = previous && (await secretOf('previous_secret', previous, parseWebhookSecret));
  if (first === null || second === null) return null;
  return { ...rest, connections, events, secrets: second === undefined ? [first] : [first, second] };
}

async function slackOf(
  channel: Extract<ChannelFileConfig, { to: 'slack' }>,
  secretOf: SecretOf,
): Promise<SlackChannelConfig | null> {
  const { name, team, statements, api } = channel;
  const botToken = await secretOf('bot_token', channel.bot_token, (text) => headerText(text));
  const signingSecret = await secretOf('signing_secret', channel.signing_secret, (text) => text);
  if (botToken === null || signingSecret === null) return null;
  return {
    to: 'slack',
    name,
    team,
    statements,
    api,
    botToken,
    signingSecret,
    connections: channel.connections ?? null,
    conversation: channel.channel,
    emailIssuer: channel.email_issuer ?? null,
    users: new Map(channel.users.map(({ slack, subject, issuer = null }) => [slack, { subject, issuer }])),
    loginWithinMs: channel.login_within,
  };
}

/** @throws Error if it cannot be in a header; it does not quote it */
function headerText(text: string): string {
  if (!/^[\x21-\x7e]+$/.test(text)) throw new Error('a bot token is one word of printable ASCII');
  return text;
}
