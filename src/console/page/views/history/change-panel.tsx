/** This is the panel beside the history: one change in full, with the way back. */
import type { ChangedGroup, ConsoleChange } from '../../../contract.ts';
import { otherText, whatOfGroup } from '../../logic/change-words.ts';
import { formatMoment } from '../../logic/format.ts';
import { routeHash } from '../../logic/route.ts';
import { shown } from '../../logic/shown.ts';
import { Icon } from '../../parts/icon.tsx';
import { SidePanel } from '../../parts/side-panel.tsx';

export function ChangePanel({
  change,
  close,
}: {
  readonly change: ConsoleChange;
  readonly close: () => void;
}) {
  const { revision, timeMs, who, actions, by, groups, others } = change;
  return (
    <SidePanel
      label="Change"
      title={
        <h2>
          <span class="muted panel-kind">{formatMoment(timeMs)}</span>
          Revision {revision}
        </h2>
      }
      chosen={revision}
      close={close}
    >
      <section>
        <h3>Who</h3>
        <p>
          {shown(who.name)} <span class="muted mono">{shown(who.accessKeyId)}</span>
        </p>
        <p class="muted mono breakable">{shown(who.arn)}</p>
        <p>
          {actions.map(shown).join(', ')} <span class="muted">by the {by}</span>
        </p>
      </section>
      {groups.map((group) => (
        <GroupChange key={group.id} group={group} revision={revision} />
      ))}
      {others.length > 0 && (
        <section>
          <h3>Other things</h3>
          <p>{others.map((one) => shown(otherText(one))).join(', ')}</p>
        </section>
      )}
    </SidePanel>
  );
}

function GroupChange({
  group,
  revision,
}: {
  readonly group: ChangedGroup;
  readonly revision: number;
}) {
  const { id, name, added, addedCount, removed, removedCount, mayGoBack } = group;
  return (
    <section>
      <h3>
        {shown(name)} <span class="muted mono">{shown(id)}</span>
      </h3>
      <p class="muted">{whatOfGroup(group)}</p>
      <Rules {...{ sign: 'plus', kind: 'new', word: 'added', rules: added, count: addedCount }} />
      <Rules
        {...{ sign: 'minus', kind: 'gone', word: 'removed', rules: removed, count: removedCount }}
      />
      {mayGoBack ? (
        <p class="tools">
          <a class="button" href={routeHash('draft', { group: id, before: String(revision) })}>
            Go back to before this
          </a>
          <a class="button" href={routeHash('draft', { group: id, revision: String(revision) })}>
            Go back to this
          </a>
        </p>
      ) : (
        <p class="muted">The rules of then are not kept.</p>
      )}
    </section>
  );
}

function Rules({
  sign,
  kind,
  word,
  rules,
  count,
}: {
  readonly sign: 'plus' | 'minus';
  readonly kind: 'new' | 'gone';
  readonly word: string;
  readonly rules: readonly string[];
  readonly count: number;
}) {
  if (rules.length === 0) return null;
  return (
    <div class={`differences differences-${kind}`}>
      <ul>
        {rules.map((rule) => (
          <li key={rule}>
            <Icon name={sign} /> <span class="hidden">{word}: </span>
            <code>{shown(rule)}</code>
          </li>
        ))}
        {count > rules.length && <li class="muted">and {count - rules.length} more</li>}
      </ul>
    </div>
  );
}
