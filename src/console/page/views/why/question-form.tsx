/** This is the form of a question: from whom, to whom, with what. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { MapView } from '../../../contract.ts';
import { useAsk } from '../../browser/api.ts';
import { readQuestion, writeQuestion, type QuestionParts } from '../../logic/question-parts.ts';

const SERVICES = ['tcp', 'udp', 'icmp', 'icmpv6', 'protocol'];
/** Names that the browser offers while one types. */
const OFFERED_MAX = 500;

export function QuestionForm({
  question,
  ask,
}: {
  readonly question: string;
  readonly ask: (question: string) => void;
}) {
  const [parts, setParts] = useState<QuestionParts>(() => readQuestion(question));
  useEffect(() => {
    if (question !== '') setParts(readQuestion(question));
  }, [question]);
  const names = useNames();
  const change = (change: Partial<QuestionParts>): void =>
    setParts((last) => ({ ...last, ...change }));
  const submit = (event: Event): void => {
    event.preventDefault();
    ask(writeQuestion(parts));
  };
  return (
    <form class="card question" onSubmit={submit}>
      <EndField label="From" value={parts.from} names="names" change={(from) => change({ from })} />
      <EndField label="To" value={parts.to} names="names" change={(to) => change({ to })} />
      <label class="field">
        <span>Protocol</span>
        <select
          value={parts.service}
          onChange={(event) => change({ service: event.currentTarget.value })}
        >
          {SERVICES.map((service) => (
            <option key={service}>{service}</option>
          ))}
        </select>
      </label>
      <label class="field field-short">
        <span>{parts.service === 'tcp' || parts.service === 'udp' ? 'Port' : 'What'}</span>
        <input
          required
          value={parts.detail}
          placeholder={parts.service.startsWith('icmp') ? 'echo' : '443'}
          autocomplete="off"
          onInput={(event) => change({ detail: event.currentTarget.value })}
        />
      </label>
      <button type="submit" class="primary">
        Ask
      </button>
      <datalist id="names">
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </form>
  );
}

function EndField({
  label,
  value,
  names,
  change,
}: {
  readonly label: string;
  readonly value: string;
  readonly names: string;
  readonly change: (value: string) => void;
}) {
  return (
    <label class="field field-wide">
      <span>{label}</span>
      <input
        required
        list={names}
        value={value}
        placeholder="interface, group, address or internet"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => change(event.currentTarget.value)}
      />
    </label>
  );
}

function useNames(): readonly string[] {
  const map = useAsk<MapView>('map').last;
  return useMemo(() => {
    const nodes = map?.nodes ?? [];
    const names = nodes.flatMap((node) =>
      node.kind === 'interfaces'
        ? [...node.groups, ...node.interfaces.map(({ name }) => name)]
        : node.kind === 'members'
          ? node.groups
          : [],
    );
    return ['internet', ...new Set(names)].slice(0, OFFERED_MAX);
  }, [map]);
}
