"""What the tools answer, as the providers' own LangChain packages hand it to their models.

Each conversation is converted by the package itself, up to what it would send.
"""

from base64 import b64decode
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool

from ci_toolkit import CodeInterpreter
from ci_toolkit.langchain import CodeInterpreterToolkit

pytestmark = [
    # What these packages do when they are imported.
    pytest.mark.filterwarnings("ignore:Support for class-based `config`"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

DRAW = "from PIL import Image; Image.new('RGB', (4, 3)).save('a.png'); print('drawn')"
DRAWN = {"code": DRAW, "output_filename": "a.png"}
FAILED = {"code": f"{DRAW}; 1 / 0", "output_filename": "a.png"}
SAID = "drawn\nSaved a.png"
PNG = b"\x89PNG"


@pytest.fixture
def tools(interpreter: CodeInterpreter) -> list[BaseTool]:
    return CodeInterpreterToolkit(interpreter, workspace_tools=True).get_tools()


def conversation(tool: BaseTool, arguments: dict[str, Any]) -> list[Any]:
    call = ToolCall(name=tool.name, args=arguments, id="c1", type="tool_call")
    message = tool.invoke(call)
    assert isinstance(message, ToolMessage)
    return [HumanMessage("go"), AIMessage("", tool_calls=[call]), message]


def bedrock(messages: list[Any], provider: str = "anthropic") -> Any:
    from langchain_aws.chat_models.bedrock_converse import _messages_to_bedrock

    (block,) = _messages_to_bedrock(messages, provider=provider)[0][-1]["content"]
    return block["toolResult"]


def anthropic(messages: list[Any]) -> Any:
    from langchain_anthropic import ChatAnthropic

    model = ChatAnthropic(model_name="claude-sonnet-4-5", api_key="none")  # type: ignore[call-arg]
    (block,) = model._get_request_payload(messages)["messages"][-1]["content"]
    return block


def openai(messages: list[Any], *, responses: bool) -> Any:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="gpt-5", api_key="none", use_responses_api=responses)
    payload = model._get_request_payload(messages)
    return payload["input" if responses else "messages"][-1]


def gemini(messages: list[Any], tools: Any) -> Any:
    from langchain_google_genai import ChatGoogleGenerativeAI

    model = ChatGoogleGenerativeAI(model="gemini-2.5-flash", api_key="none")
    return model._prepare_request(messages, tools=tools)


@pytest.mark.parametrize("provider", ["anthropic", "amazon"])
def test_bedrock_gets_the_picture_in_the_tools_result(tools: list[BaseTool], provider: str) -> None:
    result = bedrock(conversation(tools[0], DRAWN), provider)

    text, image = result["content"]
    assert text["text"].startswith(SAID)
    assert image["image"]["format"] == "png"
    assert image["image"]["source"]["bytes"].startswith(PNG)
    assert result["status"] == "success"


def test_anthropic_gets_the_picture_in_the_tools_result(tools: list[BaseTool]) -> None:
    result = anthropic(conversation(tools[0], DRAWN))

    text, image = result["content"]
    assert text["text"].startswith(SAID)
    assert image["source"]["media_type"] == "image/png"
    assert b64decode(image["source"]["data"]).startswith(PNG)
    assert result["is_error"] is False


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
def test_openai_gets_the_picture_in_the_tools_result(
    tools: list[BaseTool], responses: bool
) -> None:
    result = openai(conversation(tools[0], DRAWN), responses=responses)

    text, image = result["output" if responses else "content"]
    url = image["image_url"] if responses else image["image_url"]["url"]
    assert text["text"].startswith(SAID)
    assert b64decode(url.removeprefix("data:image/png;base64,")).startswith(PNG)


def test_gemini_gets_the_picture_beside_the_tools_result(tools: list[BaseTool]) -> None:
    picture, response = gemini(conversation(tools[0], DRAWN), tools)["contents"][-1].parts

    assert picture.inline_data.mime_type == "image/png"
    assert picture.inline_data.data.startswith(PNG)
    (text,) = response.function_response.response["output"]
    assert text["text"].startswith(SAID)


def test_a_failure_is_text_alone_which_says_that_it_is_one(tools: list[BaseTool]) -> None:
    messages = conversation(tools[0], FAILED)
    to_bedrock, to_anthropic = bedrock(messages), anthropic(messages)
    (part,) = gemini(messages, tools)["contents"][-1].parts
    said = [
        to_bedrock["content"][0]["text"],
        to_anthropic["content"],
        openai(messages, responses=False)["content"],
        openai(messages, responses=True)["output"],
        part.function_response.response["output"],
    ]

    assert to_bedrock["status"] == "error"
    assert to_anthropic["is_error"] is True
    assert len(to_bedrock["content"]) == 1
    assert said == [messages[-1].content] * 5
    assert said[0].startswith("drawn\n")
    assert "Failed with exit code 1." in said[0]


def test_without_images_every_provider_gets_text_alone(interpreter: CodeInterpreter) -> None:
    tools = CodeInterpreterToolkit(interpreter, images=False).get_tools()
    messages = conversation(tools[0], DRAWN)

    (part,) = gemini(messages, tools)["contents"][-1].parts
    assert len(bedrock(messages)["content"]) == 1
    for text in (
        anthropic(messages)["content"],
        openai(messages, responses=False)["content"],
        openai(messages, responses=True)["output"],
        part.function_response.response["output"],
    ):
        assert text.startswith(SAID)


def test_every_provider_is_told_of_the_files_that_can_be_written(tools: list[BaseTool]) -> None:
    from langchain_anthropic import ChatAnthropic
    from langchain_aws.chat_models.bedrock_converse import _format_tools
    from langchain_openai import ChatOpenAI

    chat: Any = ChatOpenAI(model="gpt-5", api_key="none")
    claude: Any = ChatAnthropic(model_name="claude-sonnet-4-5", api_key="none")  # type: ignore[call-arg]
    converse: Any = _format_tools(tools)
    told = [
        chat.bind_tools(tools).kwargs["tools"][2]["function"]["parameters"],
        claude.bind_tools(tools).kwargs["tools"][2]["input_schema"],
        converse[2]["toolSpec"]["inputSchema"]["json"],
    ]
    (declared,) = gemini([HumanMessage("go")], tools)["config"].tools

    for schema in told:
        assert "$ref" not in str(schema)
        assert set(schema["properties"]["content"]["items"]["properties"]) == {"path", "text"}
    content = declared.function_declarations[2].parameters.properties["content"]
    assert set(content.items.properties) == {"path", "text"}
