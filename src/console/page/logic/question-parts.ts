/** This file takes the line of a question apart for the form, and writes it again. The server judges what it means. */

export interface QuestionParts {
  readonly from: string;
  readonly to: string;
  /** `tcp`, `udp`, `icmp`, `icmpv6`, `protocol`. */
  readonly service: string;
  /** Port, message or number. */
  readonly detail: string;
}

/** `web -> db tcp 5432`; what is missing is empty, and the protocol tcp. */
export function readQuestion(text: string): QuestionParts {
  const [from = '', rest = ''] = text.split(/\s*(?:->|→)\s*/, 2);
  const [to = '', service = 'tcp', ...detail] = rest.split(/\s+/);
  return { from: from.trim(), to, service, detail: detail.join(' ').trim() };
}

export function writeQuestion({ from, to, service, detail }: QuestionParts): string {
  return `${from.trim()} -> ${to.trim()} ${service} ${detail.trim()}`;
}
