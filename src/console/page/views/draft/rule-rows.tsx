/** These are the rules of one direction in the form of a draft: a row a rule. */
import { useRef } from 'preact/hooks';
import type { Problem } from '../../../contract.ts';
import {
  emptyRow,
  hasIcmpType,
  hasPorts,
  rowOfPath,
  type Direction,
  type DraftRow,
} from '../../logic/draft-rows.ts';
import { shown } from '../../logic/shown.ts';
import { IconButton } from '../../parts/icon-button.tsx';
import { Icon } from '../../parts/icon.tsx';

interface RowsProperties {
  readonly direction: Direction;
  readonly rows: readonly DraftRow[];
  /** Names of groups, which a peer may be. */
  readonly names: readonly string[];
  readonly problems: readonly Problem[];
  readonly change: (rows: readonly DraftRow[]) => void;
}

const PROTOCOLS = ['tcp', 'udp', 'icmp', 'icmpv6', 'all'];

export function RuleRows({ direction, rows, names, problems, change }: RowsProperties) {
  const isIngress = direction === 'ingress';
  const title = isIngress ? 'Ingress' : 'Egress';
  const section = useRef<HTMLElement>(null);
  const add = (): void => {
    change([...rows, emptyRow(direction)]);
    // Once it is there.
    setTimeout(() => {
      const fields = section.current?.querySelectorAll<HTMLSelectElement>('select');
      fields?.[fields.length - 1]?.focus();
    });
  };
  return (
    <section class="card" ref={section}>
      <h2>{title}</h2>
      {rows.length === 0 ? (
        <p class="muted">
          No rules:{' '}
          {isIngress
            ? 'nobody may reach its members.'
            : 'its members may open nothing; answers still go.'}
        </p>
      ) : (
        <div class="rows-frame">
          <table class="rows">
            <thead>
              <tr>
                <th scope="col">Protocol</th>
                <th scope="col">Ports, or type and code</th>
                <th scope="col">{isIngress ? 'From' : 'To'}</th>
                <th scope="col">Description</th>
                <th scope="col">
                  <span class="hidden">Remove</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row, i) => (
                <RuleRow
                  key={row.key}
                  row={row}
                  label={`${title} rule ${i + 1}`}
                  names={`peers-${direction}`}
                  problems={problems.filter(({ path }) => rowOfPath(path)?.row === i)}
                  change={(next) => change(rows.map((one) => (one.key === row.key ? next : one)))}
                  remove={() => change(rows.filter(({ key }) => key !== row.key))}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <datalist id={`peers-${direction}`}>
        {names.map((name) => (
          <option key={name} value={`sg:${name}`} />
        ))}
      </datalist>
      <button type="button" onClick={add}>
        <Icon name="plus" /> Add a rule
      </button>
    </section>
  );
}

interface RowProperties {
  readonly row: DraftRow;
  readonly label: string;
  readonly names: string;
  readonly problems: readonly Problem[];
  readonly change: (row: DraftRow) => void;
  readonly remove: () => void;
}

function RuleRow({ row, label, names, problems, change, remove }: RowProperties) {
  const isWrong = (field: string): boolean =>
    problems.some(({ path, severity }) => severity === 'error' && rowOfPath(path)?.field === field);
  const protocols = PROTOCOLS.includes(row.protocol) ? PROTOCOLS : [...PROTOCOLS, row.protocol];
  return (
    <>
      <tr>
        <td>
          <select
            aria-label={`${label}: protocol`}
            value={row.protocol}
            onChange={(event) => change({ ...row, protocol: event.currentTarget.value })}
          >
            {protocols.map((protocol) => (
              <option key={protocol} value={protocol}>
                {shown(protocol)}
              </option>
            ))}
          </select>
        </td>
        <td>
          <Detail {...{ row, label, change, isWrong }} />
        </td>
        <td>
          <Input
            label={`${label}: peer`}
            value={row.peer}
            list={names}
            isWrong={isWrong('peer') || isWrong('from') || isWrong('to')}
            change={(peer) => change({ ...row, peer })}
          />
        </td>
        <td>
          <Input
            label={`${label}: description`}
            value={row.description}
            isWrong={isWrong('description')}
            change={(description) => change({ ...row, description })}
          />
        </td>
        <td>
          <IconButton icon="remove" label={`Remove ${label}`} title="Remove" click={remove} />
        </td>
      </tr>
      {problems.map(({ severity, message, hint, path }) => (
        <tr key={`${path} ${message}`} class={`row-problem row-problem-${severity}`}>
          <td colSpan={5}>
            <Icon name="warning" /> {shown(message)}
            {hint !== undefined && <span class="muted">; {shown(hint)}</span>}
          </td>
        </tr>
      ))}
    </>
  );
}

function Detail({
  row,
  label,
  change,
  isWrong,
}: Pick<RowProperties, 'row' | 'label' | 'change'> & {
  readonly isWrong: (field: string) => boolean;
}) {
  if (hasPorts(row.protocol))
    return (
      <Input
        label={`${label}: ports`}
        value={row.ports}
        placeholder="443, 8000-8100, all"
        isWrong={isWrong('ports')}
        change={(ports) => change({ ...row, ports })}
      />
    );
  if (!hasIcmpType(row.protocol)) return <span class="muted">everything of it</span>;
  return (
    <span class="two-fields">
      <Input
        label={`${label}: type`}
        value={row.type}
        placeholder="all"
        isWrong={isWrong('type')}
        change={(type) => change({ ...row, type })}
      />
      <Input
        label={`${label}: code`}
        value={row.code}
        placeholder="all"
        isWrong={isWrong('code')}
        change={(code) => change({ ...row, code })}
      />
    </span>
  );
}

function Input({
  label,
  value,
  placeholder,
  list,
  isWrong,
  change,
}: {
  readonly label: string;
  readonly value: string;
  readonly placeholder?: string;
  readonly list?: string;
  readonly isWrong: boolean;
  readonly change: (value: string) => void;
}) {
  return (
    <input
      aria-label={label}
      aria-invalid={isWrong}
      value={value}
      placeholder={placeholder}
      list={list}
      autocomplete="off"
      spellcheck={false}
      onInput={(event) => change(event.currentTarget.value)}
    />
  );
}
