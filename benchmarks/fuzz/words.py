"""Words that Sendbird's JSON and our HTTP are made of. (Imports nothing of ours: atheris has to see that.)"""

WORDS = (
    *("category", "channel", "channel_url", "app_id", "bot", "bot_userid", "bot_token", "payload", "sender"),
    *(
        "user_id",
        "message_id",
        "members",
        "type",
        "created_at",
        "updated_at",
        "ts",
        "reaction",
        "read_updates",
    ),
    *(
        "group_channel:message_send",
        "bot_message_notification",
        "MESG",
        "FILE",
        "ADMM",
        "helper_bot",
        "message",
    ),
    *(
        "POST ",
        "GET ",
        " HTTP/1.1",
        "content-length: ",
        "transfer-encoding: chunked",
        "x-sendbird-signature: ",
    ),
    *("/sendbird/webhook", "/sendbird/bot", "/sendbird/desk", "expect: 100-continue", "@SIG@", "@SECRET@"),
    *("connection: close", "upgrade: h2c", "x-hub-signature: sha1=", "NaN", "1e999", "\\\\ud83d", "null"),
)
CATEGORIES = (
    *(
        "group_channel:message_send",
        "group_channel:message_update",
        "group_channel:reaction_add",
        "user:block",
    ),
    *("group_channel:message_read", "group_channel:create", "open_channel:enter", "bot_message_notification"),
    *("profanity_filter:replace", "announcement:send_messages", "alert:user_message_rate_limit_exceeded"),
    *("message:report", "group_channel:join", "weather:storm", "open_channel:message_delete", ""),
)
