import { type ApprovalRequest, isUncounted, reachOf, type Vote, whyUnguarded } from '../request.ts';
import { missingIn } from '../voting.ts';

/**
 * Requests as Block Kit has them (https://docs.slack.dev/reference/block-kit). Whatever somebody else wrote is in plain text
 * or preformatted text: nothing in it is a mention, a link or an emoji.
 */

/** Longest text of a preformatted element; what all of a message may hold is more. */
const ELEMENT_LENGTH = 2_500;
/** A statement of more is not shown in a message, but to who wants to vote: Slack folds long messages. */
const MESSAGE_LINES = 20;
/** A statement of more is not shown in Slack: nobody would read it in a small window. */
const MODAL_LENGTH = 20_000;
const FIELD_LENGTH = 300;
/** A message has 50 blocks at most. */
const MOST_VOTES = 30;

/** Where a message is from, and how much it may say. */
export interface MessageStyle {
  /** Name of the channel in sluice.yaml. */
  readonly channel: string;
  /** True if everybody in the conversation may see statements, their values, and what clients say of themselves. */
  readonly statements: boolean;
  /** Where people find requests, without a slash at its end; `null` where nowhere. */
  readonly approvalsUrl: string | null;
}

type Block = Readonly<Record<string, unknown>>;

export interface SlackMessage {
  /** For notifications. */
  readonly text: string;
  readonly blocks: readonly Block[];
}

/** True if who sees the message sees all of what would run. Only then is one click enough to approve. */
export function isShownInFull(request: ApprovalRequest, { statements }: Pick<MessageStyle, 'statements'>): boolean {
  if (!statements) return false;
  const text = runText(request);
  return text.length <= ELEMENT_LENGTH && text.split('\n').length <= MESSAGE_LINES;
}

/** True if one click is enough to approve: who sees the message has been told all that there is to know. */
export function isApprovedAtOnce(request: ApprovalRequest, style: Pick<MessageStyle, 'statements'>): boolean {
  return isShownInFull(request, style) && !isUncounted(request);
}

/** True if a modal can show all of what would run. */
export function fitsInModal(request: ApprovalRequest): boolean {
  return runText(request).length <= MODAL_LENGTH;
}

/** The message that stands for a request, as the request is now. */
export function messageOf(request: ApprovalRequest, style: MessageStyle): SlackMessage {
  const title = titleOf(request);
  const blocks: Block[] = [{ type: 'header', text: plain(title) }, ...aboutRequest(request, style.statements)];
  if (isShownInFull(request, style)) blocks.push(preformatted(runText(request)));
  else if (style.statements) blocks.push(note('The statement is too long to be shown here.'));
  for (const vote of request.votes.slice(-MOST_VOTES)) blocks.push(note(voteText(vote)));
  if (request.state !== 'pending' && request.reason !== null && request.votes.every(({ reason }) => reason === '')) {
    blocks.push(note(request.reason));
  }
  const buttons = [
    ...(request.state === 'pending' ? voteButtons(request, style) : []),
    ...linkButtons(request, style.approvalsUrl),
  ];
  if (buttons.length > 0) blocks.push({ type: 'actions', block_id: 'vote', elements: buttons });
  return { text: title, blocks };
}

/** What somebody who may vote sees before they do: the whole statement, and a place for the reason. */
export function modalOf(
  request: ApprovalRequest,
  decision: 'approve' | 'reject',
  { channel, approvalsUrl }: MessageStyle,
): Block {
  const fits = fitsInModal(request);
  const mayGoOn = fits || decision === 'reject';
  const text = runText(request);
  const link = approvalsUrl && `${approvalsUrl}/approvals/${request.id}`;
  return {
    type: 'modal',
    callback_id: 'vote',
    private_metadata: JSON.stringify({ channel, request: request.id, decision, unguarded: isUncounted(request) }),
    title: plain(`Request ${request.id}`),
    close: plain('Cancel'),
    ...(mayGoOn && { submit: plain(decision === 'approve' ? 'Approve' : 'Reject') }),
    blocks: [
      ...aboutRequest(request, true),
      ...(decision === 'approve' && isUncounted(request)
        ? [note('Its rows are not counted. If you approve it now, it may change any number of them.')]
        : []),
      ...(fits
        ? chunks(text).map(preformatted)
        : [
            note(
              `The statement has ${text.length} characters, too many to be read here. ${link ?? `sluice approvals show ${request.id}`}`,
            ),
          ]),
      ...(mayGoOn
        ? [
            {
              type: 'input',
              block_id: 'reason',
              optional: decision === 'approve',
              label: plain(decision === 'approve' ? 'Why (may be left out)' : 'Why; whoever asked is told'),
              element: { type: 'plain_text_input', action_id: 'reason', multiline: true, max_length: 2000 },
            },
          ]
        : []),
    ],
  };
}

function titleOf({ id, state, votes }: ApprovalRequest): string {
  const broken = votes.some(({ decision }) => decision === 'break-glass');
  switch (state) {
    case 'pending':
      return `Request ${id} waits for approval`;
    case 'approved':
      return broken ? `Request ${id} was approved by one alone` : `Request ${id} is approved`;
    case 'used':
      return `Request ${id} was approved, and has run`;
    default:
      return `Request ${id} ${state === 'expired' ? 'has' : 'was'} ${state}`;
  }
}

/** @param claims with what the client says of itself */
function aboutRequest(request: ApprovalRequest, claims: boolean): Block[] {
  const { question, stages, votes, expiresAt, state } = request;
  const { identity, binding } = question;
  const who = `${identity.subject} (${identity.kind}${identity.issuer === undefined ? '' : ` of ${identity.issuer}`})`;
  const fields: [string, string][] = [
    ['Who', identity.owner === undefined ? who : `${who}, on behalf of ${identity.owner}`],
    ['Where', `${binding.connection}, database ${binding.database}${binding.role && `, as ${binding.role}`}`],
    ['Rule', `${question.rule}: ${question.message}`],
    ['What', question.effects.join('; ') || question.kind],
    ['Rows', rowsText(request)],
  ];
  if (state === 'pending') {
    const missing = stages.map((stage) => {
      const of = [...stage.groups.map((group) => `group ${group}`), ...stage.subjects].join(', ') || 'any approver';
      return `${missingIn(stage, votes)} of ${of}`;
    });
    fields.push(
      ['Reaches', reachOf(request)],
      ['Still needs', missing.join('; ')],
      ['Until', `${new Date(expiresAt).toISOString().slice(0, 19)}Z`],
    );
  }
  const said = claims ? Object.entries(question.claimed).map(([name, value]) => `${name}: ${value}`) : [];
  if (said.length > 0) fields.push(['Says of itself', said.join('; ')]);
  return [
    {
      type: 'section',
      fields: fields.map(([name, value]) => plain(`${name}\n${trimmed(visible(value), FIELD_LENGTH)}`)),
    },
  ];
}

function rowsText(request: ApprovalRequest): string {
  const { impact } = request;
  if (impact === null) return 'not counted yet';
  const more = [
    ...(impact.cascades.length > 0 ? [`cascades: ${impact.cascades.join(', ')}`] : []),
    ...(impact.triggers.length > 0 ? [`triggers: ${impact.triggers.join(', ')}`] : []),
  ];
  if (impact.rows !== null) {
    const unguarded = whyUnguarded(request);
    const undone =
      unguarded === null
        ? 'rolled back if it changes more'
        : `nothing undoes it if it changes more, since ${unguarded}`;
    return [`${impact.rows}, counted; ${undone}`, ...more].join('; ');
  }
  return [impact.estimatedRows === null ? 'not known' : `about ${impact.estimatedRows}`, ...more].join('; ');
}

function voteText({ subject, decision, reason, onBehalfOf }: Vote): string {
  const did = { approve: 'approved', reject: 'rejected', 'break-glass': 'approved alone, in an emergency' }[decision];
  const inPlace = onBehalfOf.length === 0 ? '' : `, also in the place of ${onBehalfOf.join(', ')}`;
  return trimmed(visible(`${subject} ${did}${inPlace}${reason === '' ? '' : `: ${reason}`}`), FIELD_LENGTH);
}

function voteButtons(request: ApprovalRequest, style: MessageStyle): Block[] {
  // A message may be older than the count: then its button opens a window, which has it.
  const value = JSON.stringify({ channel: style.channel, request: request.id, counted: !isUncounted(request) });
  const approve = { type: 'button', action_id: 'approve', style: 'primary', text: plain('Approve'), value };
  return [
    isApprovedAtOnce(request, style)
      ? {
          ...approve,
          confirm: {
            title: plain(`Approve request ${request.id}?`),
            text: plain('What is shown will run.'),
            confirm: plain('Approve'),
            deny: plain('Cancel'),
          },
        }
      : approve,
    { type: 'button', action_id: 'reject', style: 'danger', text: plain('Reject'), value },
  ];
}

function linkButtons({ id }: ApprovalRequest, approvalsUrl: string | null): Block[] {
  if (approvalsUrl === null) return [];
  return [{ type: 'button', action_id: 'open', text: plain('Open'), url: `${approvalsUrl}/approvals/${id}` }];
}

/** All of what would run: the statement, and its values. */
function runText({ question: { binding } }: ApprovalRequest): string {
  return visible(binding.binds === null ? binding.statement : `${binding.statement}\n-- values: ${binding.binds}`);
}

/**
 * What cannot be seen, or changes how the rest looks, is written out: a comment must not turn a line around or hide it
 * (Unicode's control and format characters).
 */
export function visible(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu, (character) =>
      character === '\n' || character === '\t' ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`,
    );
}

function trimmed(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, wholeCharacters(text, length - 1))}…`;
}

function chunks(text: string): string[] {
  const parts: string[] = [];
  for (let from = 0; from < text.length; from = wholeCharacters(text, from + ELEMENT_LENGTH)) {
    parts.push(text.slice(from, wholeCharacters(text, from + ELEMENT_LENGTH)));
  }
  return parts;
}

/** The end, or one less where it would be within a surrogate pair. */
function wholeCharacters(text: string, end: number): number {
  const before = text.charCodeAt(end - 1);
  return before >= 0xd800 && before <= 0xdbff ? end - 1 : end;
}

function plain(text: string): Block {
  return { type: 'plain_text', text, emoji: false };
}

function note(text: string): Block {
  return { type: 'context', elements: [plain(text)] };
}

function preformatted(text: string): Block {
  return {
    type: 'rich_text',
    elements: [{ type: 'rich_text_preformatted', elements: [{ type: 'text', text }] }],
  };
}
