/** This view asks why: may one reach the other, by which rule, or what is missing; or why a packet was dropped. */
import { useEffect, useState } from 'preact/hooks';
import type { DropExplanation, ExplainRequest, LiveExplanation } from '../../../contract.ts';
import { ask, AskError, useAsk } from '../../browser/api.ts';
import { generation } from '../../browser/live.ts';
import { replaceRoute, route } from '../../browser/route-store.ts';
import { useStore } from '../../browser/store.ts';
import { Answered, Empty, Failed, Loading } from '../../parts/states.tsx';
import { DropAnswer } from './drop-answer.tsx';
import { ExplanationView } from './explanation-view.tsx';
import { QuestionForm } from './question-form.tsx';

export function WhyView() {
  const { parameters } = useStore(route);
  const { q = '', drop } = parameters;
  return (
    <div class="column">
      <h1>Why</h1>
      <QuestionForm question={q} ask={(question) => replaceRoute('why', { q: question })} />
      {drop !== undefined ? (
        <DropQuestion id={drop} />
      ) : q === '' ? (
        <Empty title="Ask whether one may reach the other">
          The answer says which rule lets it through, or which one nearly does; and of a daemon,
          which tracked connections there are.
        </Empty>
      ) : (
        <Question question={q} />
      )}
    </div>
  );
}

type Asked =
  | { readonly state: 'loading' }
  | { readonly state: 'failed'; readonly error: AskError }
  | { readonly state: 'answered'; readonly answer: LiveExplanation };

function Question({ question }: { readonly question: string }) {
  const [asked, setAsked] = useState<Asked>({ state: 'loading' });
  const [turn, setTurn] = useState(0);
  // The rules have changed: so may the answer.
  const inForce = useStore(generation);
  useEffect(() => {
    const ended = new AbortController();
    setAsked({ state: 'loading' });
    const request: ExplainRequest = { question };
    ask<LiveExplanation>('explain', request, ended.signal).then(
      (answer) => !ended.signal.aborted && setAsked({ state: 'answered', answer }),
      (error: unknown) =>
        !ended.signal.aborted &&
        setAsked({
          state: 'failed',
          error: error instanceof AskError ? error : new AskError(String(error), undefined, 0),
        }),
    );
    return () => ended.abort();
  }, [question, turn, inForce]);
  switch (asked.state) {
    case 'loading':
      return <Loading what="the answer" />;
    case 'failed':
      return <Failed error={asked.error} again={() => setTurn((last) => last + 1)} />;
    case 'answered':
      return <ExplanationView question={question} answer={asked.answer} />;
    default:
      return asked satisfies never;
  }
}

function DropQuestion({ id }: { readonly id: string }) {
  const asked = useAsk<DropExplanation>(`drops/${encodeURIComponent(id)}`);
  return (
    <Answered asked={asked} what="the drop">
      {(answer) => <DropAnswer answer={answer} />}
    </Answered>
  );
}
