/** As much of a browser as a login needs: follows redirects, keeps cookies, and sends the forms it is shown. */
export class Browser {
  readonly #cookies = new Map<string, string>();
  readonly #typed: Readonly<Record<string, string>>;

  /** @param typed what it enters into fields, by their names */
  constructor(typed: Readonly<Record<string, string>>) {
    this.#typed = typed;
  }

  /** Goes on until a page has no form. @returns the text of that page */
  async visit(address: string): Promise<string> {
    let page = await this.#load(address);
    for (let forms = 0; forms < 10; forms++) {
      const form = /<form[^>]*>.*?<\/form>/s.exec(page.text)?.[0];
      if (form === undefined) return page.text;
      const action = /<form[^>]*\saction="([^"]*)"/.exec(form)?.[1] ?? page.address;
      const fields = new URLSearchParams();
      for (const [input] of form.matchAll(/<input[^>]*>/g)) {
        const name = /\sname="([^"]*)"/.exec(input)?.[1];
        if (name !== undefined) fields.set(name, this.#typed[name] ?? text(/\svalue="([^"]*)"/.exec(input)?.[1] ?? ''));
      }
      page = await this.#load(new URL(text(action), page.address).href, fields);
    }
    throw new Error(`the forms do not end: ${page.text}`);
  }

  async #load(start: string, form?: URLSearchParams): Promise<{ address: string; text: string }> {
    let address = start;
    let body = form;
    for (let hops = 0; hops < 20; hops++) {
      const response = await fetch(address, {
        ...(body !== undefined && { method: 'POST', body }),
        redirect: 'manual',
        headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      });
      for (const cookie of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)!;
        this.#cookies.set(name!, value!);
      }
      const location = response.headers.get('location');
      if (location === null) return { address, text: await response.text() };
      address = new URL(location, address).href;
      body = undefined;
    }
    throw new Error(`the redirects do not end: ${address}`);
  }
}

/** What HTML writes otherwise. */
function text(html: string): string {
  return html.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}
