/** This part of the panel is about an edge: what may go there, by which rules, and how much these have admitted. */
import { useMemo } from 'preact/hooks';
import type { MapEdge, RulesAnswer, RuleUse, RuleView } from '../../../contract.ts';
import { about } from '../../browser/about.ts';
import { useAsk } from '../../browser/api.ts';
import { useStore } from '../../browser/store.ts';
import { formatAgo, formatBitRate, formatNumberOf } from '../../logic/format.ts';
import { questionOfEdge } from '../../logic/question-words.ts';
import { routeHash } from '../../logic/route.ts';
import { shown } from '../../logic/shown.ts';
import { RuleText } from '../../parts/rule-text.tsx';
import { Note } from '../../parts/states.tsx';
import type { PanelProperties } from './panel-properties.ts';

/** What the server takes. The two ends of an edge have fewer groups. */
const GROUPS_ASKED_MAX = 100;

export function EdgePanel({
  map,
  nodes,
  traffic,
  edge,
}: PanelProperties & { readonly edge: MapEdge }) {
  const rules = useRules(map.rules, edge);
  const question = questionOfEdge(edge, new Map(nodes.map((node) => [node.id, node])));
  const rate = traffic.rates.get(edge.id) ?? 0;
  const more = edge.ruleCount - rules.length;
  return (
    <>
      <ul class="services">
        {edge.services.map((service) => (
          <li key={service}>
            <code>{shown(service)}</code>
          </li>
        ))}
      </ul>
      {edge.isPerhaps === true && (
        <Note>
          Not all of it is certain: the input leaves something open, or another host judges too.
        </Note>
      )}
      {rate > 0 && <p>Now {formatBitRate(rate)}, of the fastest flows.</p>}
      {question !== undefined && (
        <p>
          <a class="button" href={routeHash('why', { q: question })}>
            Why?
          </a>{' '}
          <code class="muted">{shown(question)}</code>
        </p>
      )}
      <section>
        <h3>{formatNumberOf(edge.ruleCount, 'rule')}</h3>
        <ul class="rules">
          {rules.map((rule) => (
            <li key={rule.id}>
              <RuleText rule={rule} />
              <Hits rule={rule} />
            </li>
          ))}
        </ul>
        {more > 0 && <p class="muted">and {more} more</p>}
      </section>
    </>
  );
}

/** The rules of an edge; their hits come a moment later. */
function useRules(all: readonly RuleView[], edge: MapEdge): readonly (RuleView | RuleUse)[] {
  const isLive = useStore(about)?.isLive === true;
  const known = useMemo(() => edge.rules.flatMap((place) => all[place] ?? []), [all, edge]);
  const groups = [...new Set(known.flatMap(({ group }) => group?.id ?? []))];
  const path =
    isLive && groups.length > 0 && groups.length <= GROUPS_ASKED_MAX
      ? `rules?${new URLSearchParams(groups.map((group) => ['group', group]))}`
      : undefined;
  const answer = useAsk<RulesAnswer>(path).last;
  return useMemo(() => {
    const newer = new Map(answer?.rules.map((rule) => [rule.id, rule]));
    return known.map((rule) => newer.get(rule.id) ?? rule);
  }, [known, answer]);
}

function Hits({ rule }: { readonly rule: RuleView | RuleUse }) {
  if (!('hits' in rule)) return null;
  const { hits, lastHitMs } = rule;
  return (
    <p class="hits">
      {formatNumberOf(hits, 'hit')}
      {lastHitMs !== undefined && (
        <span class="muted">, last {formatAgo(lastHitMs, Date.now())}</span>
      )}
    </p>
  );
}
