import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JudgementRoom, type Keeper } from './judgement-room.ts';

const MIB = 1024 * 1024;

class Counting implements Keeper {
  forgotten = 0;
  forget(): void {
    this.forgotten++;
  }
}

test('one judge keeps so many texts and characters, then it begins anew', () => {
  const room = new JudgementRoom();
  const judge = new Counting();
  for (let i = 0; i < 5_000; i++) assert.ok(room.admit(judge, 1));
  assert.equal(judge.forgotten, 0);
  assert.ok(room.admit(judge, 1));
  assert.equal(judge.forgotten, 1);
  assert.ok(room.admit(judge, 8 * MIB - 1));
  assert.equal(judge.forgotten, 1);
  assert.ok(room.admit(judge, 1));
  assert.equal(judge.forgotten, 2);
  assert.ok(!room.admit(judge, 8 * MIB + 1));
});

test('all together keep so much: who has added nothing for longest forgets first', () => {
  const room = new JudgementRoom();
  const judges = Array.from({ length: 6 }, () => new Counting());
  for (const judge of judges.slice(0, 4)) room.admit(judge, 7 * MIB);
  room.admit(judges[0]!, 1);
  room.admit(judges[4]!, 7 * MIB);
  assert.deepEqual(
    judges.map(({ forgotten }) => forgotten),
    [0, 1, 0, 0, 0, 0],
  );
  // What has left by itself takes no room.
  room.left(judges[2]!);
  room.admit(judges[5]!, 7 * MIB);
  assert.deepEqual(
    judges.map(({ forgotten }) => forgotten),
    [0, 1, 0, 0, 0, 0],
  );
});
