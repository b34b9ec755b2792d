/** This view tries a change of a group: what it would newly allow, what it would end, what is wrong with it. */
import { useEffect, useMemo } from 'preact/hooks';
import type { ConsoleGroup, GroupDraft, GroupsAnswer } from '../../../contract.ts';
import { about } from '../../browser/about.ts';
import { useAsk } from '../../browser/api.ts';
import { useAskInForce } from '../../browser/ask-in-force.ts';
import { keepDraft } from '../../browser/kept-drafts.ts';
import { replaceRoute, route } from '../../browser/route-store.ts';
import { useStore } from '../../browser/store.ts';
import { shown } from '../../logic/shown.ts';
import { Answered, Empty, Note } from '../../parts/states.tsx';
import { Select } from '../../parts/select.tsx';
import { DraftForm } from './draft-form.tsx';

export function DraftView() {
  const known = useStore(about);
  const asked = useAsk<GroupsAnswer>('groups');
  return (
    <div class="column column-wide">
      <h1>Draft</h1>
      <Note>
        {known?.mayApply === true
          ? 'A draft is computed while you type. Nothing changes until you apply it.'
          : 'A draft is computed and written as text. Nothing is applied here, and no packet is judged by it.'}
      </Note>
      {known?.mayDraft === false ? (
        <Empty title="Drafts are not possible here">
          The daemon is older than this console, and does not tell its configuration.
        </Empty>
      ) : (
        <Answered asked={asked} what="the groups">
          {(groups) => <ChosenGroup groups={groups} />}
        </Answered>
      )}
    </div>
  );
}

function ChosenGroup({ groups }: { readonly groups: GroupsAnswer }) {
  const { parameters } = useStore(route);
  const real = useMemo(() => groups.filter(({ isOnlyNamed }) => isOnlyNamed !== true), [groups]);
  const names = useMemo(() => real.map(({ name }) => name), [real]);
  const wanted = parameters['group'] ?? names[0];
  if (wanted === undefined)
    return (
      <Empty title="There is no group">
        The configuration has no security group to draft a change of.
      </Empty>
    );
  const found = real.find(({ name }) => name === wanted) ?? real.find(({ id }) => id === wanted);
  const group = found?.name ?? wanted;
  const all = found === undefined ? [group, ...names] : names;
  return (
    <>
      <div class="tools">
        <Select
          label="Group"
          values={all}
          chosen={group}
          choose={(name) => replaceRoute('draft', { group: name })}
        />
      </div>
      <ReadOnly group={found} />
      <Former {...parameters} group={group} id={found?.id ?? wanted} />
      <GroupAsItIs key={group} group={group} names={names} />
    </>
  );
}

function ReadOnly({ group }: { readonly group: ConsoleGroup | undefined }) {
  if (group?.fixed === undefined) return null;
  return (
    <Note kind="warning">
      Read only: {shown(group.fixed)}. A draft can be tried and copied, and not applied.
    </Note>
  );
}

/** Takes the rules that the group had at a revision, or before it, as its draft. */
function Former({
  group,
  id,
  before,
  revision,
}: {
  /** Its name, and its id, by which the past is asked for. */
  readonly group: string;
  readonly id: string;
  readonly before?: string;
  readonly revision?: string;
}) {
  const when = before === undefined ? { revision } : { before };
  const past = new URLSearchParams({ group: id });
  for (const [name, value] of Object.entries(when)) if (value !== undefined) past.set(name, value);
  const isAsked = before !== undefined || revision !== undefined;
  const asked = useAsk<GroupDraft>(isAsked ? `draft?${past.toString()}` : undefined);
  const then = asked.state === 'answered' ? asked.answer : undefined;
  useEffect(() => {
    if (!isAsked || then === undefined) return;
    keepDraft(group, then);
    const from =
      before === undefined ? `at revision ${revision ?? ''}` : `before revision ${before}`;
    replaceRoute('draft', { group, from });
  }, [then]);
  return isAsked ? (
    <Answered asked={asked} what="the rules of then">
      {() => null}
    </Answered>
  ) : null;
}

function GroupAsItIs({
  group,
  names,
}: {
  readonly group: string;
  readonly names: readonly string[];
}) {
  const { parameters } = useStore(route);
  const asked = useAskInForce<GroupDraft>(`draft?${new URLSearchParams({ group }).toString()}`);
  return (
    <Answered asked={asked} what="the group">
      {(now) => (
        <DraftForm key={parameters['from']} {...{ now, group, names, from: parameters['from'] }} />
      )}
    </Answered>
  );
}
